"""Progress of the backfill of an account's folders, for its page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Count, Q

from mailbox.accounts.health import state_of
from mailbox.models import Folder, MessagePlace, SyncRunFolder
from mailbox.sync.backfill_progress import RECENT, BackfillProgress, FetchedByRun, progress, rate_of, together


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
