"""The report of a run, as it grows: one line a folder, kept in the database from its first outcome on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from mailbox.db import bulk_insert
from mailbox.keep_alive import keep_alive
from mailbox.logs import event
from mailbox.models import Account, Folder, SyncRun, SyncRunFolder
from mailbox.sync.folder_sync import MORE_WAITING, SyncOutcome
from mailbox.sync.folders import canonical

logger = logging.getLogger(__name__)
SILENT_AFTER = timedelta(seconds=60)


@dataclass
class Report:
    """Accounts run in threads, each folder in one of them: the lock guards only the list of lines."""

    run: SyncRun
    lines: dict[tuple[int, str], SyncRunFolder] = field(default_factory=dict)
    skipped: dict[tuple[int, str], SyncOutcome] = field(default_factory=dict)  # busy: another worker is at it
    more_waiting: set[tuple[int, str]] = field(default_factory=set)
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
        """Write the folder's line, or add another round to it. That of a look is written with the look."""
        key = (account.pk, canonical(name))
        if outcome.error_code == "busy":
            self.skipped[key] = outcome
            return
        with self.lock:
            (self.more_waiting.add if outcome.more_waiting else self.more_waiting.discard)(key)
            line = self.lines.get(key)
            if line is None:
                line = bulk_insert.blank(SyncRunFolder)
                line.run_id, line.account_id, line.folder_name, line.ok = self.run.pk, account.pk, key[1], True
                line.folder_id = outcome.look.folder_pk if outcome.look else self._folder_pk(account, key[1])
                self.lines[key] = line
        line.ok = outcome.ok
        for name in ("fetched", "updated", "quarantined", "bytes", "seconds"):
            setattr(line, name, getattr(line, name) + getattr(outcome, name))
        line.error_code, line.error = outcome.error_code, outcome.error
        told = [*line.note.replace(MORE_WAITING, "").split("\n"), outcome.note]
        line.note = "\n".join(dict.fromkeys(each.strip() for each in told if each.strip()))
        line.finished_at = timezone.now()
        if outcome.look is None:
            line.save()

    def _folder_pk(self, account: Account, name: str) -> int | None:
        return Folder.objects.filter(account=account, name=name).values_list("pk", flat=True).first()

    def line_of(self, account: Account, name: str) -> SyncRunFolder:
        return self.lines[account.pk, canonical(name)]

    def was_not_written(self, line: SyncRunFolder) -> None:
        """Nor was the look it tells of: the folder is for another worker, or for the next run, to look at."""
        if line.pk is None:
            with self.lock:
                self.lines.pop((line.account_id, line.folder_name), None)

    def finish(self, now: datetime) -> SyncRun:
        run = self.run
        counts = _counted([line.ok for line in self.lines.values()])
        for name, value in counts.items():
            setattr(run, name, value)
        run.finished_at = now

        def write() -> bool:
            SyncRun.objects.filter(pk=run.pk).update(finished_at=now, seen_at=now, **counts)
            return False

        keep_alive.do_until_done(write)
        event(
            logger, "sync_run", run_id=str(run.run_id), attempted=run.attempted, succeeded=run.succeeded,
            failed=run.failed, fetched=sum(line.fetched for line in self.lines.values()),
        )  # fmt: skip
        return run


def _counted(oks: Sequence[bool]) -> dict[str, int]:
    return {"attempted": len(oks), "succeeded": sum(oks), "failed": len(oks) - sum(oks)}


def end_abandoned(now: datetime) -> int:
    """End the runs whose process is gone, with what their lines tell; returns how many there were."""
    abandoned = SyncRun.objects.filter(finished_at=None, seen_at__lt=now - SILENT_AFTER)
    ended = 0
    for run in abandoned.order_by("pk"):
        counts = _counted(list(run.folders.values_list("ok", flat=True)))
        ended += abandoned.filter(pk=run.pk).update(finished_at=run.seen_at, **counts)
        event(logger, "sync_run_abandoned", logging.WARNING, run_id=str(run.run_id), **counts)
    return ended
