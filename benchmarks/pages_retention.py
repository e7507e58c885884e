"""The row of `make bench-pages` about retention: what pages cost while the older half of all mail is removed."""

from __future__ import annotations

import time

from benchmarks.frame import Figure, Void
from benchmarks.kept import for_retention
from benchmarks.pages import Context, p95
from benchmarks.site import Inside

ASKED = ("/", "/messages/", "/messages/search/?q=has:attachment", "/outbox/")
BEFORE = 100  # requests of each page
PAUSE_SECONDS = 0.05  # between requests: one person's clicks are further apart
LONGEST_SECONDS = 7_200  # half of it rests


def retention(context: Context, figure: Figure) -> None:
    """The workers remove by a rule, as each night; meanwhile pages are asked until all of it is gone."""
    with context.kept.copy(for_retention(context.kept, context.options)) as site, site.inside() as inside:
        inside.call("only_our_ticks")
        for path in ASKED:
            inside.call("page_seconds", path=path)
        number = inside.call("message_count")
        with site.workers():
            before = [_asked(inside) for _ in range(context.rounds() * BEFORE // 60)]
            removing, begin = inside.call("remove_older_half"), time.monotonic()
            during = []
            while inside.call("is_removing", number=removing):
                during.append(_asked(inside))
                if time.monotonic() - begin > LONGEST_SECONDS:
                    raise Void(f"not removed within {LONGEST_SECONDS} s")
            seconds = time.monotonic() - begin
        if (left := inside.call("message_count")) != number - removing:
            raise Void(f"{left} messages are left of {number}, and {removing} were to go")
    ours, peer = ([each for round_ in rounds for each in round_] for rounds in (during, before))
    figure.ours, figure.peer = p95(ours), p95(peer)
    figure.value = figure.ours / figure.peer
    figure.samples = {"peer": peer}
    figure.notes = f"{removing:,} of {number:,} went in {seconds:.0f} s; {len(ours):,} and {len(peer):,} requests"


def _asked(inside: Inside) -> list[float]:
    """Seconds of each page, once."""
    found = []
    for path in ASKED:
        time.sleep(PAUSE_SECONDS)
        found.append(float(inside.call("page_seconds", path=path)[0]))
    return found
