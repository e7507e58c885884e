"""Finds the outbox row and the recipients of each received delivery report and stores DeliveryReport rows.

A report never changes the status of the outbox row: only the replies of the server that accepted or refused the mail
do, as anybody can write a mail that looks like a report.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from mailbox import logs
from mailbox.db import bulk_insert
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.errors import StorageError
from mailbox.models import Attachment, LaterReading, Message
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob
from mailbox.storage import out_of_reach, raw_store
from outbox.actions.transitions import record
from outbox.bounces import dsn_report, free_text
from outbox.bounces.report import ParsedReport, RecipientReport
from outbox.compose import suppression
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage, OutboxRecipient, ReportCursor
from outbox.restored_mail import UNKNOWN_MARK
from outbox.smtp.dsn import from_xtext

logger = logging.getLogger(__name__)
AT_ONCE = 2000  # messages a step of the sweep
# A primary key is assigned before its row is committed, so the cursor stays behind younger rows, or it would miss some.
SETTLED_AFTER = timedelta(minutes=5)
# Reports kept of one mail that say the same of one recipient and are equally proven. A flood of forged ones fills its
# own place only: by a limit of the whole mail, a stranger could keep the true one out.
MOST_ALIKE = 5
MOST_ABOUT_OTHERS = 100  # likewise, about addresses that are none of its recipients, as the members of a list
MOST_SHOWN = 200  # reports of one mail on its page and for programs, the proven ones first
_OURS = re.compile(r"<outbox-(\d{1,18})-\d+@[^<>\s]+>")


def candidates(pks: Sequence[int]) -> list[int]:
    """The pks of those messages that may be reports, by their rows alone.

    They have a part of a report's media type or a returned mail, or their sender is a mail system or empty.
    """
    attached = bulk_insert.known(Attachment, "message_id", pks)
    types = (*dsn_report.STATUS_TYPES, dsn_report.FEEDBACK_TYPE, *dsn_report.MAIL_TYPES, *dsn_report.HEADER_TYPES)
    with_part = Attachment.objects.filter(message_id__in=attached, content_type__in=types)
    found = set(with_part.values_list("message_id", flat=True))
    senders = " OR ".join(f"sender_address LIKE '{each}%%'" for each in free_text.SENDERS)
    return sorted(found | bulk_insert.known(Message, "id", pks, also=f"(sender_address = '' OR {senders})"))


def read_message(pk: int, now: datetime | None = None) -> int:
    """Read one received message as a report and store its rows; returns how many are new. May be called twice.

    A parser process reads it. The attempt is saved before (LaterReading), so a message that cannot be read is not
    tried for ever: it is skipped later and shown in quarantine.
    """
    now = now or timezone.now()
    columns = ("account_id", "raw_digest", "received_at", "size")
    message = Message.objects.filter(pk=pk, is_complete=True).only(*columns).first()
    if message is None or not LaterReading.objects.begin(message, LaterReading.Purpose.REPORT, now):
        return 0
    try:
        new, error = _tie(message), ""
    except raw_store.RawMissing as missing:
        if isinstance(missing, raw_store.RawOutOfReach):
            out_of_reach.note(missing.segment)
            return _put_off(message)
        new, error = 0, str(missing)
    except StorageError:
        return _put_off(message)
    except DATABASE_TROUBLE:
        with contextlib.suppress(DatabaseError):
            _put_off(message)
        raise
    except Unreadable as failure:
        logs.event(logger, "report_unreadable", logging.ERROR, message=pk, error=str(failure))
        new, error = 0, str(failure)
    except Exception as failure:
        logger.exception("report_failed", extra={"fields": {"message": pk}})
        new, error = 0, f"{type(failure).__name__}: {failure}"[:500]
    _note(message).update(finished_at=timezone.now(), error=error)
    return new


def _put_off(message: Message) -> int:
    """Do not count this attempt, as our disk or database failed, not the message; the sweep reads it again."""
    _note(message).update(attempts=0)
    return 0


def _note(message: Message) -> QuerySet[LaterReading]:
    return LaterReading.objects.filter(message=message, purpose=LaterReading.Purpose.REPORT)


class Unreadable(Exception):
    """The parser processes could not read the message. str() is their reason."""


def _tie(message: Message) -> int:
    raw, path = raw_store.map_raw(message.raw_digest)
    report = parsing_pool.read_one(
        ParseJob(raw, message.size, message.account_id, connection.vendor, path, reader=dsn_report.READER)
    )
    if isinstance(report, str):
        raise Unreadable(report)
    found = _attempt_of(report, message.account_id) if report else None
    return _store(report, found[0], message, is_proven=found[1]) if found else 0


def _attempt_of(report: ParsedReport, account_id: int) -> tuple[DeliveryAttempt, bool] | None:
    """The attempt that a report is about, of this account and with DATA begun, and whether the report is proven."""
    sent = DeliveryAttempt.objects.select_related("outbox").filter(outbox__account_id=account_id, data_at__isnull=False)
    match = _OURS.search(report.stamps.message_id)
    if report.stamps.prx_attempt:
        if attempt := sent.filter(prx_attempt=report.stamps.prx_attempt).first():
            return attempt, True
        # A wrong mark: the report is not about our mail, whatever its Message-ID claims; unless a restored database
        # has forgotten the mark.
        forgotten = sent.filter(outbox_id=int(match[1]), prx_attempt=UNKNOWN_MARK).first() if match else None
        return (forgotten, False) if forgotten else None
    # If the header was not returned: the ENVID that we gave the server is the same mark. An unknown one is ignored, as
    # it may be a gateway's own.
    if report.envelope_id and (attempt := sent.filter(prx_attempt=report.envelope_id).first()):
        return attempt, True
    if match is None:
        return None
    attempt = sent.filter(outbox_id=int(match[1]), message_id=match[0]).order_by("-number").first()
    return (attempt, False) if attempt else None


def _store(report: ParsedReport, attempt: DeliveryAttempt, message: Message, *, is_proven: bool) -> int:
    row = attempt.outbox
    known = {recipient.address.lower(): recipient for recipient in row.recipients.all()}
    alike: Counter[tuple[int | None, str]] = Counter(
        row.reports.filter(is_proven=is_proven).values_list("recipient", "action")
    )
    before = row.reports.filter(message=message).count()
    rows = []
    for each, recipient, address in _recipients(report, known):
        kind = (recipient.pk if recipient else None, each.action)
        alike[kind] += 1
        if alike[kind] <= (MOST_ALIKE if recipient else MOST_ABOUT_OTHERS):
            made = DeliveryReport(outbox=row, recipient=recipient, message=message, address=address, action=each.action)
            made.status_code, made.words, made.reporter = each.status_code, each.words, report.reporter
            made.is_proven, made.reported_at = is_proven, message.received_at
            rows.append(made)
    with transaction.atomic():
        DeliveryReport.objects.bulk_create(rows, ignore_conflicts=True)  # the task or the sweep may have stored them
        new = row.reports.filter(message=message).count() - before
        # Only for new rows: a person may have taken the address off the list since the first reading.
        if new and len(known) == 1:
            suppression.note(row.account_id, rows)
    if new:
        logs.event(
            logger, "delivery_report", outbox_id=row.pk, message_id=attempt.message_id, reports=new, proven=is_proven
        )
    return new


def _recipients(
    report: ParsedReport, known: dict[str, OutboxRecipient]
) -> list[tuple[RecipientReport, OutboxRecipient | None, str]]:
    """(part of the report, the row's recipient or None, address) for each recipient of the report.

    Of the addresses in free text only the mail's recipients count; if there are none, the mail's only recipient.
    """
    found = []
    for each in report.recipients:
        # Original-Recipient is our ORCPT parameter; some servers return it xtext-encoded (RFC 3461), as we sent it.
        given = from_xtext(each.address)
        recipient = known.get(each.address.lower()) or known.get(given.lower()) or known.get(each.final.lower())
        if recipient is not None or not report.is_in_free_text:
            found.append((each, recipient, given if given.lower() in known else each.address))
    if not found and report.is_in_free_text and len(known) == 1:
        (only,) = known.values()
        found = [(report.recipients[0], only, only.address)]
    return found


def catch_up(now: datetime, steps: int = 5) -> int:
    """The sweep: read the candidates among messages stored since the cursor, and those that a dead worker left.

    steps: at most so many windows of AT_ONCE messages. Returns how many reports are new.
    """
    begun = LaterReading.objects.filter(purpose=LaterReading.Purpose.REPORT)
    left = begun.left(now).order_by("begun_at")[:AT_ONCE]
    new = sum(read_message(note.message_id, now) for note in left)
    for _ in range(steps):
        cursor = ReportCursor.current().message_id
        rows = Message.objects.filter(pk__gt=cursor).order_by("pk").values_list("pk", "created_at")[:AT_ONCE]
        window = list(rows)
        with parsing_pool.running():
            new += sum(read_message(pk, now) for pk in candidates([pk for pk, _ in window]))
        settled = _settled(window, now - SETTLED_AFTER)
        if settled is not None:
            # The cursor never goes back: a slow sweep may end after a later one.
            ReportCursor.objects.filter(pk=1, message_id__lt=settled).update(message_id=settled)
            begun.filter(message_id__lte=settled, error="").exclude(finished_at=None).delete()
        if settled is None or len(window) < AT_ONCE:
            break
    return new


def _settled(window: list[tuple[int, datetime]], before: datetime) -> int | None:
    """The pk of the last message before the first one stored at or after `before`; None if there is none."""
    last = None
    for pk, created_at in window:
        if created_at >= before:
            break
        last = pk
    return last


def acknowledge(row: OutboxMessage, *, user: User, last_shown: int, now: datetime | None = None) -> int:
    """Save that a person has seen the bounces and complaints about a mail; returns how many.

    last_shown: pk of the newest report on their page. Later reports stay unacknowledged.
    """
    now = now or timezone.now()
    with transaction.atomic():
        open_ones = DeliveryReport.objects.unacknowledged().filter(outbox=row, pk__lte=last_shown)
        number = open_ones.update(acknowledged_at=now, acknowledged_by=user)
        if number:
            record(row, "acknowledge_bounce", user, now)
    return number
