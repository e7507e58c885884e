"""The report of a run, as it grows: a line for each folder that something came of, kept from its first outcome on.

A folder without news leaves no line: a thousand accounts would write ten million of them a week. The run counts it,
and sync_state says when it was last looked at. Only where a person asked for the run are its lines written at the end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from mailbox.keep_alive import keep_alive
from mailbox.logs import event
from mailbox.models import Account, Folder, SyncRun, SyncRunFolder
from mailbox.sync.folder_sync import MORE_WAITING, SyncOutcome
from mailbox.sync.folders import canonical

logger = logging.getLogger(__name__)
SILENT_AFTER = timedelta(seconds=60)
BY_PERSON = (SyncRun.Trigger.CLICK, SyncRun.Trigger.COMMAND)
Key = tuple[int, str]  # of an account, and the name of a folder


@dataclass
class Report:
    """Accounts run in threads, each folder in one of them: the lock guards only what is found by folder."""

    run: SyncRun
    lines: dict[Key, SyncRunFolder] = field(default_factory=dict)
    unchanged: dict[Key, SyncRunFolder] = field(default_factory=dict)  # not in the database, nor counted in `lines`
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def begin(cls, trigger: str, requested_by: int | None, now: datetime) -> Report:
        run = SyncRun.objects.create(trigger=trigger, requested_by_id=requested_by, started_at=now, seen_at=now)
        return cls(run)

    def say_it_goes_on(self) -> bool:
        """For keep_alive: a run that has not been seen for a minute has lost its process."""
        SyncRun.objects.filter(pk=self.run.pk, finished_at=None).update(seen_at=timezone.now())
        return True

    def add(self, account: Account, name: str, outcome: SyncOutcome) -> None:
        """Write the folder's line, or add another round to it; only count it while nothing was new."""
        if outcome.error_code == "busy":  # another worker is at it, and reports it
            return
        key = (account.pk, canonical(name))
        with self.lock:
            line = self.lines.get(key) or self.unchanged.get(key)
            if line is None:
                line = SyncRunFolder(run=self.run, account=account, folder_name=key[1], ok=True)
            _add_round(line, outcome)
            if outcome.is_unchanged and key not in self.lines:
                self.unchanged[key] = line
                return
            self.unchanged.pop(key, None)
            self.lines[key] = line
        if line.pk is None:
            line.folder = Folder.objects.filter(account=account, name=key[1]).first()
        line.save()

    def was_not_written(self, account_id: int, name: str) -> None:
        """That nothing was new: the folder is for another worker, or for the next run, to look at."""
        with self.lock:
            self.unchanged.pop((account_id, name), None)

    def finish(self, now: datetime) -> SyncRun:
        run, lines = self.run, list(self.lines.values())
        unchanged = list(self.unchanged.values())
        counts = _counted([line.ok for line in lines], len(unchanged))
        for name, value in counts.items():
            setattr(run, name, value)
        run.finished_at = now

        def write() -> bool:
            if run.trigger in BY_PERSON:
                _insert(unchanged)
            SyncRun.objects.filter(pk=run.pk).update(finished_at=now, seen_at=now, **counts)
            return False

        keep_alive.do_until_done(write)
        event(
            logger, "sync_run", run_id=str(run.run_id), attempted=run.attempted, succeeded=run.succeeded,
            failed=run.failed, unchanged=run.unchanged, fetched=sum(line.fetched for line in lines),
        )  # fmt: skip
        return run


def _add_round(line: SyncRunFolder, outcome: SyncOutcome) -> None:
    line.ok = outcome.ok
    for name in ("fetched", "updated", "quarantined", "bytes", "seconds"):
        setattr(line, name, getattr(line, name) + getattr(outcome, name))
    line.error_code, line.error = outcome.error_code, outcome.error
    told = [*line.note.replace(MORE_WAITING, "").split("\n"), outcome.note]
    line.note = "\n".join(dict.fromkeys(each.strip() for each in told if each.strip()))
    line.finished_at = timezone.now()


def _insert(lines: Sequence[SyncRunFolder]) -> None:
    folders = Folder.objects.filter(account_id__in={line.account_id for line in lines})
    pks = {(account_id, name): pk for account_id, name, pk in folders.values_list("account_id", "name", "pk")}
    for line in lines:
        line.folder_id = pks.get((line.account_id, line.folder_name))
    SyncRunFolder.objects.bulk_create(lines)


def _counted(oks: Sequence[bool], unchanged: int = 0) -> dict[str, int]:
    succeeded = sum(oks) + unchanged
    failed = len(oks) - sum(oks)
    return {"attempted": succeeded + failed, "succeeded": succeeded, "failed": failed, "unchanged": unchanged}


def end_abandoned(now: datetime) -> int:
    """End the runs whose process is gone, with what their lines tell; returns how many there were."""
    abandoned = SyncRun.objects.filter(finished_at=None, seen_at__lt=now - SILENT_AFTER)
    ended = 0
    for run in abandoned.order_by("pk"):
        counts = _counted(list(run.folders.values_list("ok", flat=True)))
        ended += abandoned.filter(pk=run.pk).update(finished_at=run.seen_at, **counts)
        event(logger, "sync_run_abandoned", logging.WARNING, run_id=str(run.run_id), **counts)
    return ended
