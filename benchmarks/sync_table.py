"""The table of `make bench-sync`: each measure and what it is to reach."""

from __future__ import annotations

from benchmarks import sync, sync_idle, sync_more, sync_rounds
from benchmarks.frame import Bench, Figure, at_least, at_most

PIPELINE = "mbsync and then notmuch new"
FOUR_PIPELINES = "four times mbsync and then notmuch new, at once"

BENCHES = [
    Bench(
        "first",
        sync.first,
        (
            Figure("first", "first sync of 10,000 messages, 258 MB, parsed and searchable", PIPELINE, at_most(0.38)),
            Figure("first-mbsync", "the same, for information", "mbsync alone, which neither parses nor indexes", None),
        ),
    ),
    Bench(
        "fewer",
        sync.fewer,
        (Figure("fewer", "first sync of 3,000 messages, parsed and searchable", PIPELINE, at_most(0.5)),),
    ),
    Bench(
        "rtt",
        sync_more.rtt,
        (
            Figure("rtt", "the same through a round trip of 40 ms", "mbsync", at_most(1.1)),
            Figure("rtt-loop", "the same, how many times faster", "one FETCH a message by imaplib", at_least(30)),
        ),
    ),
    Bench(
        "four",
        sync_more.four,
        (Figure("four", "four mailboxes of 2,500 by the workers on two cores", FOUR_PIPELINES, at_most(0.7)),),
    ),
    Bench(
        "new",
        sync_more.new,
        (
            Figure("new", "one new message in a folder with 100,000 stored", "the same with 1,000", at_most(1.2)),
            Figure("new-trips", "round trips of that sync after sign-in", "", at_most(4)),
        ),
    ),
    Bench(
        "tick",
        sync_rounds.tick,
        (Figure("tick", "200 accounts with nothing new, one tick", "imaplib, sign-in, EXAMINE, LOGOUT", at_most(1.3)),),
    ),
    Bench(
        "hosts",
        sync_rounds.two_hosts,
        (
            Figure(
                "hosts",
                "1,000 accounts with nothing new, round trips of 20 ms, one tick: how many times as fast two hosts are",
                "one host",
                at_least(1.8),
            ),
        ),
    ),
    Bench(
        "start",
        sync_rounds.start,
        (Figure("start", "a cluster that starts with accounts due: until the first look", "", at_most(5, "s")),),
    ),
    Bench(
        "memory",
        sync_more.memory,
        (
            Figure(
                "memory",
                "peak of a worker with its children, 10,000 messages and one of 50 MB",
                "",
                at_most(250, "MB"),
                unit="MB",
            ),
            Figure(
                "level", "its memory in the last quarter of that run", "the second quarter", at_most(1.1), unit="MB"
            ),
        ),
    ),
    Bench(
        "idle",
        sync_idle.idle,
        (
            Figure("idle", "1,000 connections in IDLE: memory of the process", "", at_most(200, "MB"), unit="MB"),
            Figure("idle-delay", "with them: from a new mail at the server to its row", "", at_most(2, "s")),
        ),
    ),
]
