"""Delivery reports that arrive by sync are tied to the mail and recipient they are about. They inform; how the mail's
sending stands is what the sending server said, and no mail that anybody can write changes it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from mailbox import logs
from mailbox.db import bulk_insert
from mailbox.models import Attachment, Message
from mailbox.storage import raw_store
from outbox.actions.transitions import record
from outbox.bounces import dsn_report
from outbox.bounces.dsn_report import RecipientReport, Report
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage, ReportCursor
from outbox.smtp.xtext import from_xtext

logger = logging.getLogger(__name__)
AT_ONCE = 2000  # messages a step of the sweep
# Keys are handed out before their rows are committed: only behind this is nothing missed.
SETTLED_AFTER = timedelta(minutes=5)
MOST_OF_A_MAIL = 200  # reports kept of one mail: a flood of forged ones is no more than that
_OURS = re.compile(r"<outbox-(\d{1,18})-\d+@[^<>\s]+>")


def candidates(pks: Sequence[int]) -> list[int]:
    """Which of these messages may be delivery reports, by what the tables say: a status part, or qmail's sender."""
    attached = bulk_insert.known(Attachment, "message_id", pks)
    with_status = Attachment.objects.filter(message_id__in=attached, content_type__in=dsn_report.STATUS_TYPES)
    found = set(with_status.values_list("message_id", flat=True))
    plain = bulk_insert.known(Message, "id", pks, also="sender_address LIKE 'mailer-daemon@%%'", has_attachments=False)
    return sorted(found | plain)


def read_message(pk: int) -> int:
    """Tie one received message to the mail it reports on; returns how many reports are new. Twice does no harm."""
    message = Message.objects.filter(pk=pk, is_complete=True).only("account_id", "raw_digest", "received_at").first()
    if message is None:
        return 0
    try:
        report = dsn_report.read(raw_store.open_raw(message.raw_digest))
    except raw_store.RawMissing:
        return 0
    found = _attempt_of(report, message.account_id) if report else None
    if report is None or found is None:
        return 0
    attempt, is_proven = found
    return _store(report, attempt.outbox, message, is_proven=is_proven)


def _attempt_of(report: Report, account_id: int) -> tuple[DeliveryAttempt, bool] | None:
    """(the attempt, whether the report proves it). Only what this account handed to a server is reported on."""
    sent = DeliveryAttempt.objects.select_related("outbox").filter(outbox__account_id=account_id, data_at__isnull=False)
    if report.prx_attempt:  # a wrong one is no report of ours, whatever its Message-ID claims
        attempt = sent.filter(prx_attempt=report.prx_attempt).first()
        return (attempt, True) if attempt else None
    # Nothing of the mail was returned, or its header was cut: what we gave the server for this, the same mark. One that
    # is not ours may be a gateway's own, and says nothing.
    if report.envelope_id and (attempt := sent.filter(prx_attempt=report.envelope_id).first()):
        return attempt, True
    match = _OURS.search(report.message_id)
    if match is None:
        return None
    attempt = sent.filter(outbox_id=int(match[1]), message_id=match[0]).order_by("-number").first()
    return (attempt, False) if attempt else None


def _store(report: Report, row: OutboxMessage, message: Message, *, is_proven: bool) -> int:
    known = {recipient.address.lower(): recipient for recipient in row.recipients.all()}
    room = MOST_OF_A_MAIL - row.reports.count()
    before = row.reports.filter(message=message).count()

    def made(each: RecipientReport) -> DeliveryReport:
        # Original-Recipient is what we gave as ORCPT: some servers return it as it stood there.
        given = from_xtext(each.address)
        recipient = known.get(each.address.lower()) or known.get(given.lower()) or known.get(each.final.lower())
        return DeliveryReport(
            outbox=row,
            recipient=recipient,
            message=message,
            address=given if given.lower() in known else each.address,
            action=each.action,
            status_code=each.status_code,
            words=each.words,
            reporter=report.reporter,
            is_proven=is_proven,
            reported_at=message.received_at,
        )

    with transaction.atomic():
        rows = [made(each) for each in report.recipients[: max(room, 0)]]
        DeliveryReport.objects.bulk_create(rows, ignore_conflicts=True)  # the task ran twice, or the sweep was first
        new = row.reports.filter(message=message).count() - before
    if new:
        logs.event(logger, "delivery_report", outbox_id=row.pk, reports=new, proven=is_proven)
    return new


def catch_up(now: datetime, steps: int = 5) -> int:
    """The sweep: look through what was stored since the cursor, in order; returns how many reports are new."""
    new = 0
    for _ in range(steps):
        cursor = ReportCursor.current().message_id
        rows = Message.objects.filter(pk__gt=cursor).order_by("pk").values_list("pk", "created_at")[:AT_ONCE]
        window = list(rows)
        new += sum(read_message(pk) for pk in candidates([pk for pk, _ in window]))
        settled = _settled(window, now - SETTLED_AFTER)
        if settled is not None:
            # Never back: a slower sweep may end after a faster one.
            ReportCursor.objects.filter(pk=1, message_id__lt=settled).update(message_id=settled)
        if settled is None or len(window) < AT_ONCE:
            break
    return new


def _settled(window: list[tuple[int, datetime]], before: datetime) -> int | None:
    """The last key up to which every message was stored before then."""
    last = None
    for pk, created_at in window:
        if created_at >= before:
            break
        last = pk
    return last


def acknowledge(row: OutboxMessage, *, user: User, now: datetime | None = None) -> int:
    """A person has taken note of the bounces of this mail; returns how many they were."""
    now = now or timezone.now()
    with transaction.atomic():
        open_ones = DeliveryReport.objects.unacknowledged().filter(outbox=row)
        number = open_ones.update(acknowledged_at=now, acknowledged_by=user)
        if number:
            record(row, "acknowledge_bounce", user, now)
    return number
