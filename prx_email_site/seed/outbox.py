"""Outbox rows of a seeded database: most are sent; a bounded number waits for workers or a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from mailbox.models import AuditEntry
from outbox.models import DeliveryAttempt, OutboxAttachment, OutboxMessage, OutboxRecipient
from prx_email_site.seed.mailboxes import SamplePool, SeededAccount
from prx_email_site.seed.tables import RowWriter, moment, next_pk

OPEN_AT_MOST = 1_000  # open rows; in a real installation their number does not grow with time
# Status, hold and error of successive open rows.
OPEN = (
    ("pending", "", ""),
    ("failed", "", "451 4.7.1 Try again later"),
    ("failed", "uncertain", "The connection was lost after the mail was handed over."),
    ("failed", "permanent", "550 5.1.1 No such user"),
    ("failed", "gave_up", "452 4.2.2 Mailbox full"),
)
APART = timedelta(seconds=31)


class SampleOutbox:
    """Writes outbox rows, each with a recipient, an audit entry, an attachment if the letter has one, and an attempt
    unless it is pending or cancelled."""

    models_written = (OutboxMessage, OutboxRecipient, OutboxAttachment, DeliveryAttempt, AuditEntry)

    def __init__(self, pool: SamplePool, places: list[SeededAccount], newest: datetime, count: int) -> None:
        self.pool, self.places, self.count, self.newest = pool, places, count, newest
        self.begin = newest - APART * count
        self.open_each = max(count // min(max(count // 50, 1), OPEN_AT_MOST), 1)
        self.first_pk = next_pk(OutboxMessage)
        self.rows = RowWriter(
            OutboxMessage,
            [
                "id",
                "account_id",
                "to",
                "subject",
                "body_text",
                "mail_from",
                "mime_digest",
                "mime_size",
                "status",
                "hold",
                "error",
                "next_attempt_at",
                "last_attempt",
                "created_at",
                "updated_at",
                "sent_at",
                "provider_message_id",
            ],
        )
        names = ["outbox_id", "account_id", "created_at", "position", "filename", "content_type", "size", "digest"]
        self.attachments = RowWriter(OutboxAttachment, names)
        self.audit = RowWriter(AuditEntry, ["at", "account_id", "verb", "target"])
        self.recipients = RowWriter(OutboxRecipient, ["outbox_id", "kind", "address", "status"])
        names = ["outbox_id", "number", "claim_token", "worker", "message_id", "prx_attempt", "phase", "outcome"]
        names += ["reply_code", "reply", "started_at", "finished_at"]
        self.attempts = RowWriter(DeliveryAttempt, names)

    def write(self, number: int) -> None:
        """Add the row with this number and what belongs to it."""
        place, pk = self.places[number % len(self.places)], self.first_pk + number
        chosen = self.pool.chosen(number, len(self.places))
        letter, at = self.pool.letters[chosen], moment(self.begin + APART * number)
        status, hold, error = "sent", "", ""
        if number % self.open_each == 0:
            status, hold, error = OPEN[number // self.open_each % len(OPEN)]
        elif number % 50 == 7:
            status = "cancelled"
        # A year ahead, so that a worker on a seeded database sends nothing.
        later = moment(self.newest + timedelta(days=365))
        is_sent, is_tried = status == "sent", status in ("sent", "failed")
        self.rows.add(
            pk, place.pk, letter.sender, letter.subject, letter.body_text, place.email, self.pool.digests[chosen],
            len(letter.raw), status, hold, error, at if is_sent else later, int(is_tried), at, at,
            at if is_sent else None, f"<seed-{pk}@site.example>" if is_sent else None,
        )  # fmt: skip
        if file := letter.file:
            self.attachments.add(pk, place.pk, at, 0, file.filename, file.content_type, len(file.content), file.digest)
        self.audit.add(at, place.pk, "send", f"outbox:{pk}")
        self.recipients.add(pk, "to", letter.sender_address, "accepted" if is_sent else "waiting")
        if is_tried:
            outcome = "accepted" if is_sent else {"": "transient", "uncertain": "uncertain"}.get(hold, "permanent")
            phase = "accepted" if is_sent else "dot" if hold == "uncertain" else "data"
            code = 250 if is_sent else int(error[:3]) if error[:3].isdigit() else None
            self.attempts.add(
                pk, 1, f"seed-{pk}", "seed/1", f"<seed-{pk}@site.example>", f"seed{pk}",
                phase, outcome, code, error or "250 2.0.0 Ok", at, at,
            )  # fmt: skip

    def flush(self) -> None:
        """Insert the rows that wait in memory."""
        for rows in (self.rows, self.recipients, self.attachments, self.attempts, self.audit):
            rows.flush()
