"""Progress of the backfill of an account's folders, for its page: how much is fetched, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.utils.translation import gettext, ngettext

from mailbox.accounts.health import state_of
from mailbox.localized import grouped
from mailbox.models import Folder, MessagePlace, SyncRunFolder

RECENT = timedelta(minutes=15)  # the rate is taken from runs of this time
STALLED = timedelta(minutes=3)  # with nothing fetched for this long there is no estimate


@dataclass(frozen=True)
class FetchedByRun:
    """What one run fetched of one folder: begin, end and number of messages, from the line of its report."""

    began_at: datetime
    ended_at: datetime
    count: int


@dataclass(frozen=True)
class BackfillProgress:
    """`done` of `total` messages are stored. `seconds_left`: estimate for the rest, None when there is none."""

    done: int
    total: int
    seconds_left: float | None

    @property
    def percent(self) -> int:
        """0 to 100, rounded down so that 100 means that all are stored."""
        return 100 if self.done >= self.total else min(int(100 * self.done / self.total), 99)

    @property
    def time_left(self) -> str:
        """The estimate in words; "" when there is none."""
        return "" if self.seconds_left is None else about(self.seconds_left)


def rate_of(lines: Iterable[FetchedByRun], now: datetime) -> float | None:
    """Messages per second of wall-clock time, pauses between runs included; None when nothing was fetched lately."""
    recent = [line for line in lines if line.count and line.ended_at > now - RECENT]
    if not recent or max(line.ended_at for line in recent) < now - STALLED:
        return None
    began = min(max(line.began_at, now - RECENT) for line in recent)
    seconds = (max(line.ended_at for line in recent) - began).total_seconds()
    return sum(line.count for line in recent) / seconds if seconds > 0 else None


def progress(done: int, total: int, rate: float | None) -> BackfillProgress:
    """`rate`: messages per second. `done` may exceed `total`, since removed messages stay stored for a while."""
    done = min(done, total)
    return BackfillProgress(done, total, (total - done) / rate if rate else None)


def together(parts: Iterable[BackfillProgress]) -> BackfillProgress | None:
    """The progress of several folders together; None for no folders. No estimate when one of them has none."""
    each = list(parts)
    if not each:
        return None
    left = [part.seconds_left for part in each]
    seconds = None if None in left else sum(seconds for seconds in left if seconds is not None)
    return BackfillProgress(sum(part.done for part in each), sum(part.total for part in each), seconds)


def about(seconds: float) -> str:
    """A duration as a sentence part, such as "about 3 minutes"."""
    if seconds < 45:
        return gettext("less than a minute")
    if seconds >= 1.5 * 86_400:
        days = round(seconds / 86_400)
        return ngettext("about %(number)s day", "about %(number)s days", days) % {"number": grouped(days)}
    if seconds >= 1.5 * 3600:
        hours = round(seconds / 3600)
        return ngettext("about %(number)s hour", "about %(number)s hours", hours) % {"number": grouped(hours)}
    minutes = max(round(seconds / 60), 1)
    return ngettext("about %(number)s minute", "about %(number)s minutes", minutes) % {"number": grouped(minutes)}


def show_progress(folders: Sequence[Folder], now: datetime) -> BackfillProgress | None:
    """Set `progress` on each folder (None when its backfill is done); return the progress of all together.

    Two queries during a backfill, else none. Places that are gone are counted too, so that an index alone answers: the
    page polls every few seconds, and a folder may have a million places.
    """
    waiting: dict[int, tuple[Folder, int, Q]] = {}
    for folder in folders:
        folder.progress = None  # type: ignore[attr-defined]
        state = state_of(folder)
        if state and state.more_waiting and state.exists:
            here = Q(folder_id=folder.pk, uidvalidity=state.uidvalidity)
            waiting[folder.pk] = folder, state.exists, here
    if not waiting:
        return None
    places = MessagePlace.objects.filter(Q.create([here for *_, here in waiting.values()], connector=Q.OR)).order_by()
    stored = dict(places.values_list("folder_id").annotate(count=Count("*")))
    lines: dict[int, list[FetchedByRun]] = {}
    columns = ("folder_id", "run__started_at", "finished_at", "fetched")
    recent = SyncRunFolder.objects.filter(folder_id__in=waiting, finished_at__gt=now - RECENT).order_by("-pk")
    for folder_id, began, ended, count in recent.values_list(*columns)[:200]:
        lines.setdefault(folder_id, []).append(FetchedByRun(began, ended, count))
    for pk, (folder, total, _) in waiting.items():
        folder.progress = progress(  # type: ignore[attr-defined]
            stored.get(pk, 0), total, rate_of(lines.get(pk, []), now)
        )
    return together(folder.progress for folder, *_ in waiting.values())  # type: ignore[attr-defined]
