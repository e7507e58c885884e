"""The rest of a seeded database: reports of sync runs, quarantined mail and bounces."""

from __future__ import annotations

from datetime import datetime, timedelta

from mailbox.models import Message, Quarantine, SyncRun, SyncRunFolder
from outbox.models import DeliveryReport, OutboxMessage
from prx_email_site.seed.mailboxes import SeededAccount
from prx_email_site.seed.tables import RowWriter, moment, next_pk

RUNS_AT_MOST = 14 * 24 * 60  # one run each minute, as reports are kept for two weeks
LINES = 5  # folders in a run
QUARANTINED_AT_MOST, BOUNCES_AT_MOST, UNSEEN = 300, 2_000, 20


class SampleRuns:
    """Writes one run for each minute before `newest`, and quarantined mail and bounces."""

    models_written = (SyncRun, SyncRunFolder, Quarantine, DeliveryReport)

    def __init__(self, places: list[SeededAccount], newest: datetime) -> None:
        self.places, self.newest = places, newest

    def write_runs(self, count: int) -> None:
        """Insert so many runs, a minute apart, with LINES folders each."""
        first = next_pk(SyncRun)
        runs = RowWriter(SyncRun, ["id", "run_id", "started_at", "finished_at", "attempted", "succeeded"])
        lines = RowWriter(
            SyncRunFolder, ["run_id", "account_id", "folder_id", "folder_name", "ok", "fetched", "bytes", "finished_at"]
        )
        for number in range(count):
            at = moment(self.newest - timedelta(minutes=count - number))
            runs.add(first + number, f"{first + number:032x}", at, at, LINES, LINES)
            for line in range(LINES):
                place = self.places[(number * LINES + line) % len(self.places)]
                fetched = number % 7
                lines.add(first + number, place.pk, place.folders[0], "INBOX", True, fetched, 2_000 * fetched, at)
        runs.flush()
        lines.flush()

    def write_quarantine(self, count: int) -> None:
        """Insert so many quarantined messages."""
        rows = RowWriter(Quarantine, ["account_id", "folder_id", "uidvalidity", "uid", "error", "attempts"])
        for number in range(count):
            place = self.places[number % len(self.places)]
            rows.add(place.pk, place.folders[1], 1, 2**31 + number, "The message could not be parsed.", 4)
        rows.flush()

    def write_bounces(self, count: int) -> None:
        """Write bounces of the newest sent rows. All but the newest UNSEEN are acknowledged."""
        sent = OutboxMessage.objects.sent().order_by("-pk").values_list("pk", "recipients__pk", "recipients__address")
        names = ["outbox_id", "recipient_id", "message_id", "address", "action", "status_code", "words"]
        rows = RowWriter(DeliveryReport, [*names, "is_proven", "reported_at", "acknowledged_at"])
        mails = Message.objects.order_by("-pk").values_list("pk", flat=True)[:count]
        at = moment(self.newest)
        for number, ((pk, recipient, address), mail) in enumerate(zip(sent[:count], mails, strict=False)):
            seen = None if number < UNSEEN else at
            rows.add(pk, recipient, mail, address, "failed", "5.1.1", "550 5.1.1 No such user", True, at, seen)
        rows.flush()
