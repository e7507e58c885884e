"""The table of `make bench-pages`: each measure and what it is to reach."""

from __future__ import annotations

from benchmarks import pages, pages_retention
from benchmarks.frame import Bench, Figure, at_most

AT_BOTH = "p95 of the server's time at 1,000,000 messages"
SMALL = "10,000"
SEARCH = "first page at 1,000,000 messages, p95"

BENCHES = [
    Bench(
        "lists",
        pages.lists,
        (
            Figure("list-first", f"message list, first page: {AT_BOTH}", SMALL, at_most(1.3)),
            Figure("list-deep", f"message list, 1,000th page: {AT_BOTH}", f"{SMALL}, last page", at_most(1.3)),
            Figure("list-folder", f"one folder, first page: {AT_BOTH}", SMALL, at_most(1.3)),
        ),
    ),
    Bench(
        "searches",
        pages.searches,
        (
            Figure("search-words", f"search by two words, {SEARCH}", "", at_most(200, "ms"), unit="ms"),
            Figure("search-operator", f"search by subject: and has:, {SEARCH}", "", at_most(200, "ms"), unit="ms"),
            Figure("search-common", f"search by a common word, {SEARCH}", "", at_most(200, "ms"), unit="ms"),
        ),
    ),
    Bench("rare", pages.rare, (Figure("search-rare", "search by a word of one message", "LIKE", at_most(0.01)),)),
    Bench(
        "tabs",
        pages.tabs,
        (Figure("tabs", "outbox with counted tabs, p95 at 1,000,000 rows", f"{SMALL} rows", at_most(1.5)),),
    ),
    Bench(
        "attachments",
        pages.attachments,
        (Figure("attachments", "attachments both ways, p95 at 1,000,000 messages", SMALL, at_most(1.5)),),
    ),
    Bench(
        "slowest",
        pages.slowest,
        (Figure("slowest", "the slowest of all pages and lists, median", "", at_most(250, "ms"), unit="ms"),),
    ),
    Bench("dashboard", pages.dashboard, (Figure("dashboard", f"dashboard: {AT_BOTH} and rows", SMALL, at_most(1.3)),)),
    Bench(
        "weights",
        pages.weights,
        (
            Figure("bytes", "the heaviest page's first visit, gzip", "", at_most(150, "kB"), unit="kB"),
            Figure("queries", "the most queries of a page", "", at_most(12), unit=""),
        ),
    ),
    Bench(
        "retention",
        pages_retention.retention,
        (
            Figure(
                "retention",
                "dashboard, lists and a search while 1,000,000 of 2,000,000 messages are removed: p95",
                "before",
                at_most(1.5),
            ),
        ),
    ),
]
