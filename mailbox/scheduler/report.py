"""The report of a run (SyncRun), saved while it goes on: one line (SyncRunFolder) for each folder with any result.

An unchanged folder gets no line, since a thousand accounts would write ten million of them a week: the run counts it,
and sync_state has the time of the sync. In a run that a person asked for, unchanged folders get lines at its end.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from mailbox.clocks import is_stale
from mailbox.leases.keep_alive import keep_alive
from mailbox.logs import event
from mailbox.models import Account, SyncRun, SyncRunFolder
from mailbox.sync.outcome import SyncOutcome

logger = logging.getLogger(__name__)
MORE_WAITING = "More is waiting."
SILENT_AFTER = timedelta(seconds=60)  # a run not seen for this long has lost its process
BY_PERSON = (SyncRun.Trigger.CLICK, SyncRun.Trigger.COMMAND)
Key = tuple[int, str]  # account pk, folder name


@dataclass
class RunReport:
    """One process's part of a run's report. An account's lines are written by one thread at a time."""

    run: SyncRun
    lines: dict[Key, SyncRunFolder] = field(default_factory=dict)  # those of folders that are unchanged so far: no pk

    @classmethod
    def begin(cls, trigger: str, requested_by: int | None, now: datetime, shares: int = 1) -> RunReport:
        """Create the run. `shares`: how many workers take part; it ends when each has called finish()."""
        return cls(
            SyncRun.objects.create(
                trigger=trigger, requested_by_id=requested_by, started_at=now, seen_at=now, shares_left=shares
            )
        )

    def say_it_goes_on(self) -> bool:
        """Update `seen_at`; for keep_alive, which calls it again while this returns True. See end_abandoned()."""
        SyncRun.objects.filter(pk=self.run.pk, finished_at=None).update(seen_at=timezone.now())
        return True

    def add(self, account_id: int, name: str, outcome: SyncOutcome) -> None:
        """Save the folder's line, or add this outcome to it. A folder that is unchanged so far is only counted."""
        if outcome.error_code == "busy":  # another worker syncs the account and reports it
            return
        key = (account_id, name)
        where = {"run": self.run, "account_id": account_id, "folder_name": name}
        line = self.lines.get(key)
        if line is None and not outcome.is_unchanged:  # another worker of this run may have saved a line already
            line = SyncRunFolder.objects.filter(**where).first()
        if line is None:
            line = SyncRunFolder(**where, ok=True)
        self.lines[key] = line
        _add_round(line, outcome)
        if line.pk or not outcome.is_unchanged:
            line.save()

    def finish(self, now: datetime) -> None:
        """End this worker's share of the run; the last share ends the run, with its counts.

        A run in which nothing was tried is deleted, unless a person asked for it.
        """
        run, unchanged = self.run, [line for line in self.lines.values() if line.pk is None]

        def write() -> bool:
            with transaction.atomic():
                if run.trigger in BY_PERSON:
                    there = Account.objects.filter(pk__in={line.account_id for line in unchanged})
                    pks = set(there.values_list("pk", flat=True))  # without those deleted since their turn
                    SyncRunFolder.objects.bulk_create([line for line in unchanged if line.account_id in pks])
                this = SyncRun.objects.filter(pk=run.pk)
                this.update(unchanged=F("unchanged") + len(unchanged), shares_left=F("shares_left") - 1, seen_at=now)
                counts = _counts(run)
                this.update(**counts)
                this.filter(shares_left__lte=0).update(finished_at=now)
                this.filter(shares_left__lte=0, attempted=0).exclude(trigger__in=BY_PERSON).delete()
            vars(run).update(counts, finished_at=now, unchanged=len(unchanged))
            return False

        keep_alive.do_until_done(write)
        failed = sum(not line.ok for line in self.lines.values())
        event(
            logger, "sync_run", run_id=str(run.run_id), attempted=len(self.lines), failed=failed,
            unchanged=len(unchanged), fetched=sum(line.fetched for line in self.lines.values()),
        )  # fmt: skip


def _add_round(line: SyncRunFolder, outcome: SyncOutcome) -> None:
    line.ok, line.folder_id = outcome.ok, outcome.folder_id
    for name in ("fetched", "updated", "quarantined", "bytes", "seconds"):
        setattr(line, name, getattr(line, name) + getattr(outcome, name))
    line.error_code, line.error = outcome.error_code, outcome.error
    told = [*line.note.replace(MORE_WAITING, "").split("\n"), outcome.note, MORE_WAITING * outcome.more_waiting]
    line.note = "\n".join(dict.fromkeys(each.strip() for each in told if each.strip()))
    line.finished_at = timezone.now()


def _counts(run: SyncRun) -> dict[str, int]:
    """The run's counts: from its saved lines, and from its number of unchanged folders, which have no line."""
    counted = run.folders.aggregate(all=Count("pk"), failed=Count("pk", filter=Q(ok=False)))
    unchanged = 0 if run.trigger in BY_PERSON else SyncRun.objects.values_list("unchanged", flat=True).get(pk=run.pk)
    attempted = counted["all"] + unchanged
    return {"attempted": attempted, "succeeded": attempted - counted["failed"], "failed": counted["failed"]}


def end_abandoned(now: datetime) -> int:
    """End the runs whose process has died, with the counts of their saved lines; return how many there were."""
    abandoned = SyncRun.objects.filter(is_stale("seen_at", SILENT_AFTER, now), finished_at=None)
    ended = 0
    for run in abandoned.order_by("seen_at"):  # the index of runs without an end, not all runs of two weeks
        counts = _counts(run)
        ended += abandoned.filter(pk=run.pk).update(finished_at=min(run.seen_at, now), **counts)
        event(logger, "sync_run_abandoned", logging.WARNING, run_id=str(run.run_id), **counts)
    return ended
