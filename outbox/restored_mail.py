"""Mail that waited when a restored database was copied: it may have gone out since, so no worker sends it by itself.

Such a row becomes uncertain, like one whose worker died behind the final dot, and so has the same look into Sent and
the same buttons. Its attempt stands for those that the database does not know: their Message-IDs can be told, the mark
X-PRX-Attempt cannot, and is "".
"""

from __future__ import annotations

import logging
import secrets
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext_noop

from mailbox import logs
from outbox.models import DeliveryAttempt, Operation, OutboxMessage, OutboxRecipient, SentCopy
from outbox.retry.classification import is_for_now

logger = logging.getLogger(__name__)
Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
AT_ONCE = 500
UNKNOWN_MARK = ""
# Stored in rows, so in English; pages say it in the reader's language.
WORDS = gettext_noop("Waited in the restored backup: may have gone out since.")
# The keys that mails had which the restored database does not know are not given again: with the key a mail would have
# their Message-ID, and servers drop a second mail with a Message-ID that they know. No outbox sends so many in the days
# between two backups.
FORGOTTEN_KEYS = 10_000_000


def is_forgotten(attempt: DeliveryAttempt) -> bool:
    """Whether it stands for attempts made after the backup, also when the mark of one was found in Sent since."""
    return not attempt.worker and attempt.reply == WORDS


def ask(now: datetime) -> int:
    """Make every mail that workers would send by themselves a question; returns how many. Sending must be paused.

    May be killed and called again. A bulk action that had not ended is stopped: it may have been done to its end.
    """
    _pass_over_forgotten_keys()
    Operation.objects.unfinished().update(stopped_at=now, finished_at=now)
    # With a try counted, the next one looks whether the copy is in Sent.
    SentCopy.objects.waiting().filter(tries=0).update(tries=1)
    asked = 0
    while number := _ask_some(now):
        asked += number
    if asked:
        logs.event(logger, "asked_after_restore", logging.WARNING, rows=asked)
    return asked


def _ask_some(now: datetime) -> int:
    # A row that waits for the sign-in is sent as soon as that works, as it may have been since the backup.
    waits = Q(status=Status.SENDING) | Q(status__in=OutboxMessage.CLAIMABLE, hold__in=("", Hold.SIGN_IN))
    columns = ("pk", "retries", "message_id", "last_attempt")
    numbers = DeliveryAttempt.objects.filter(outbox=OuterRef("pk")).order_by("-number").values("number")
    waiting = OutboxMessage.objects.filter(waits).annotate(newest=Subquery(numbers[:1])).order_by("pk").only(*columns)
    with transaction.atomic():
        rows = list(waiting.select_for_update()[:AT_ONCE])
        # An attempt that was under way ends as this one begins: see forgotten_since().
        DeliveryAttempt.objects.filter(outbox__in=rows, outcome="").update(
            outcome=DeliveryAttempt.Outcome.UNCERTAIN, finished_at=now, reply=WORDS
        )
        attempts = DeliveryAttempt.objects.bulk_create(_forgotten(row, now) for row in rows)
        _forget_refusals(rows)
        for each in attempts:
            OutboxMessage.objects.filter(pk=each.outbox_id).update(last_attempt=each.number, **_asked(now))
    return len(rows)


def _forget_refusals(rows: list[OutboxMessage]) -> None:
    """Who was put off may have got it since: "Mark as sent" must count them as having the mail."""
    refused = OutboxRecipient.objects.filter(outbox__in=rows, status=OutboxRecipient.Status.REFUSED)
    put_off = [pk for pk, code, words in refused.values_list("pk", "reply_code", "reply") if is_for_now(code, words)]
    waiting = {"status": OutboxRecipient.Status.WAITING, "reply_code": None, "reply": ""}
    OutboxRecipient.objects.filter(pk__in=put_off).update(**waiting)


def _asked(now: datetime) -> dict[str, Any]:
    unclaimed = {"claim_token": "", "claimed_by": "", "lease_expires_at": None}
    asked = {"status": Status.FAILED, "hold": Hold.UNCERTAIN, "error": WORDS, "error_code": "", "data_at": None}
    return {**asked, **unclaimed, "requested_by": None, "failure_mode": "", "undo_until": None, "updated_at": now}


def _forgotten(row: OutboxMessage, now: datetime) -> DeliveryAttempt:
    return DeliveryAttempt(
        outbox=row,
        number=max(row.last_attempt, getattr(row, "newest", None) or 0) + 1,
        claim_token=f"restored-{secrets.token_hex(10)}",
        message_id=row.message_id or f"<outbox-{row.pk}-{row.retries}@{settings.MESSAGE_ID_DOMAIN}>",
        prx_attempt=UNKNOWN_MARK,
        phase=DeliveryAttempt.Phase.DOT,
        outcome=DeliveryAttempt.Outcome.UNCERTAIN,
        reply=WORDS,
        started_at=now,
        data_at=now,
        finished_at=now,
    )


def _pass_over_forgotten_keys() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = 'outbox'", [FORGOTTEN_KEYS])
        else:
            sequence = "pg_get_serial_sequence('outbox', 'id')"
            cursor.execute(f"SELECT setval({sequence}, nextval({sequence}) + %s)", [FORGOTTEN_KEYS])
