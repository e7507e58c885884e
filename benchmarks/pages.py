"""`make bench-pages`: what pages cost at a million rows, beside the same pages at ten thousand."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from functools import cached_property
from urllib.parse import urlencode

from benchmarks.frame import Figure, Options, Pair, Void
from benchmarks.kept import open_kept, sizes
from benchmarks.site import Inside

ROUNDS, WARM = 60, 5
PAGES = {
    "dashboard": "/",
    "messages": "/messages/",
    "by conversation": "/messages/?by=conversation",
    "search": "/messages/search/?q=has:attachment",
    "outbox": "/outbox/",
    "compose": "/outbox/compose/",
    "attachments": "/outbox/attachments/",
    "storage": "/outbox/attachments/storage/",
    "accounts": "/accounts/",
    "account": "/accounts/1/",
    "runs": "/accounts/1/runs/",
    "folders": "/accounts/1/folders/",
    "message": "/messages/7/",
    "sent mail": "/outbox/7/",
    "activity": "/activity/",
    "quarantine": "/quarantine/",
    "stored mail": "/stored-mail/",
}


NARROWED = {
    "account's messages": "/messages/?account=1",
    "account's conversations": "/messages/?account=1&by=conversation",
    "unread": "/messages/search/?q=is:unread",
    "filed long ago": "/messages/search/?q=in:sent+before:2026-01-01",
    "very large": "/messages/search/?q=larger:10M",
    "sent": "/outbox/?state=sent",
    "cancelled": "/outbox/?state=cancelled",
    "account's sent": "/outbox/?account=1&state=sent",
    "refused": "/outbox/?code=550",
    "text in the outbox": "/outbox/?q=zzzzzz",
    "drills": "/outbox/?mark=drill",
    "a day's": "/outbox/?age=under-1d",
    "pictures": "/outbox/attachments/?type=image",
    "large PDF files": "/outbox/attachments/?type=pdf&size=10m",
    "account's files": "/outbox/attachments/?account=1",
    "name of a file": "/outbox/attachments/?q=zzzzzz",
    "admin messages": "/admin/mailbox/message/",
    "admin outbox": "/admin/outbox/outboxmessage/",
    "admin attempts": "/admin/outbox/deliveryattempt/",
    "admin activity": "/admin/mailbox/auditentry/",
}


class Context:
    """The seeded installations, and a process inside the large and the small one, each when first asked for."""

    def __init__(self, options: Options, stack: ExitStack) -> None:
        self.options, self._stack = options, stack
        self.kept = open_kept(options, stack)

    @cached_property
    def large(self) -> Inside:
        """A process in the installation with a million rows."""
        return self._inside(sizes(self.options)[0])

    @cached_property
    def small(self) -> Inside:
        """A process in the installation with ten thousand rows."""
        return self._inside(sizes(self.options)[1])

    def _inside(self, count: int) -> Inside:
        return self._stack.enter_context(self.kept.site(count).inside())

    def rounds(self) -> int:
        """How many times each page is asked for."""
        return ROUNDS if self.options.scale >= 0.1 else 4


def p95(seconds: list[float]) -> float:
    """The time that 95 of 100 requests do not exceed."""
    return sorted(seconds)[max(round(0.95 * len(seconds)) - 1, 0)]


def both(context: Context, figure: Figure, large: str, small: str = "") -> None:
    """The page at both sizes in turns; the figure is the ratio of the p95."""
    pair, worked = Pair(), Pair()
    sides = [
        (context.large, large, pair.ours, worked.ours),
        (context.small, small or large, pair.peer, worked.peer),
    ]
    for number in range(-WARM, context.rounds()):
        for side, path, kept, kept_work in sides if number % 2 else reversed(sides):
            seconds, work = side.call("page_seconds", path=path)
            if number >= 0:
                kept.append(seconds)
                kept_work.append(work)
    figure.ours, figure.peer = p95(pair.ours), p95(pair.peer)
    figure.value = figure.ours / figure.peer
    figure.samples = {"ours": pair.ours, "peer": pair.peer}
    medians = [statistics.median(side) * 1000 for side in (pair.ours, pair.peer, worked.ours, worked.peer)]
    figure.notes = "medians {:.1f} and {:.1f} ms, of which the process worked {:.1f} and {:.1f} ms".format(*medians)


def lists(context: Context, first: Figure, deep: Figure, folder: Figure) -> None:
    """The message list: its first page, its 1,000th page, and a folder's first page."""
    both(context, first, "/messages/")
    large, small = (side.call("page_address", number=1_000) for side in (context.large, context.small))
    both(context, deep, large, small)
    both(context, folder, *(side.call("folder_address") for side in (context.large, context.small)))


def tabs(context: Context, figure: Figure) -> None:
    """The outbox with its counted tabs."""
    both(context, figure, "/outbox/")


def attachments(context: Context, figure: Figure) -> None:
    """The list of attachments."""
    both(context, figure, "/outbox/attachments/")


def slowest(context: Context, figure: Figure) -> None:
    """Every page at the large size, and the lists narrowed in the ways that have most to look through."""
    times = max(context.rounds() // 6, 2)
    found = {}
    for name, path in (PAGES | NARROWED).items():
        context.large.call("page_seconds", path=path)
        found[name] = sorted(context.large.call("page_seconds", path=path)[0] * 1000 for _ in range(times))
    medians = {name: statistics.median(each) for name, each in found.items()}
    order = sorted(medians, key=lambda name: medians[name], reverse=True)
    figure.value = figure.ours = medians[order[0]]
    figure.samples = {"ours": [medians[name] / 1000 for name in order]}
    figure.notes = "medians of " + ", ".join(f"{name} {medians[name]:.0f}" for name in order[:8])


def dashboard(context: Context, figure: Figure) -> None:
    """The dashboard."""
    both(context, figure, "/")


def searches(context: Context, *figures: Figure) -> None:
    """Each kind of search, with other words each time; a kind that finds nothing is void."""
    count, ask = context.rounds(), context.large.call
    middle = ask("words_of_rank", first=300, count=2 * count)
    common = ask("words_of_rank", first=0, count=20)
    frequent = ask("words_of_rank", first=5, count=count)
    asked = {
        "search-words": [" ".join(middle[2 * number : 2 * number + 2]) for number in range(count)],
        "search-operator": [f"subject:{frequent[number]} has:attachment" for number in range(count)],
        "search-common": [common[number % len(common)] for number in range(count)],
    }
    for figure in figures:
        seconds = []
        for query in asked[figure.name]:
            seconds.append(ask("page_seconds", path=f"/messages/search/?{urlencode({'q': query})}")[0])
        hits = sum(ask("hits", query=query) for query in asked[figure.name][:5])
        if not hits:
            raise Void(f"{figure.name} found nothing")
        figure.ours = figure.value = p95(seconds) * 1000
        figure.samples = {"ours": seconds}
        figure.notes = f"median {statistics.median(seconds) * 1000:.1f} ms, slowest {max(seconds) * 1000:.1f} ms"


def rare(context: Context, figure: Figure) -> None:
    """A word that one message has. LIKE reads all bodies: asked less often, for the same words."""
    words = context.large.call("own_words", count=context.rounds())
    pair, pages = Pair(), list[float]()
    for number, word in enumerate(words):
        if context.large.call("hits", query=word) != 1:
            raise Void(f"{word} was not found once")
        pages.append(context.large.call("page_seconds", path=f"/messages/search/?q={word}")[0])
        pair.ours.append(context.large.call("search_seconds", query=word))
        if number < context.options.rounds(5):
            pair.peer.append(context.large.call("like_seconds", text=word))
    pair.fill(figure)
    whole = statistics.median(pages) * 1000
    figure.notes = f"medians; ours reads the rows, LIKE finds the keys alone; the whole page took {whole:.1f} ms"


def weights(context: Context, size: Figure, queries: Figure) -> None:
    """Every page once, at the large size."""
    found = {name: context.large.call("weight", path=path) for name, path in PAGES.items()}
    heaviest, most = (max(found, key=lambda name: found[name][what]) for what in ("bytes", "queries"))
    size.value = size.ours = found[heaviest]["bytes"] / 1000
    queries.value = queries.ours = found[most]["queries"]
    size.notes = f"most: {heaviest}; " + ", ".join(f"{name} {each['bytes'] / 1000:.0f}" for name, each in found.items())
    queries.notes = f"most: {most}; " + ", ".join(f"{name} {each['queries']}" for name, each in found.items())
