"""Ends leases and waits that a wrong clock has written, which would last as long as it was ahead.

They are recognised by their length: no right clock writes such a long one. Claims of rows are settled by
recovery.recover, with other expired ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from mailbox import logs
from mailbox.models import Account, Lease, Transport
from outbox.delivery.timeouts import LONGEST_LEASE_SECONDS
from outbox.models import OutboxMessage, SendPace, SentCopy, SentLookup
from outbox.retry.policy import MAX_EXPONENT, backoff_seconds

logger = logging.getLogger(__name__)
LONGEST_PACE = timedelta(minutes=1)  # the lowest rate limit is one mail a minute
LONGEST_STATED_WAIT = timedelta(hours=1)  # the longest wait that throttling takes from a server's words
SENT_LEASE, SENT_WAIT = timedelta(hours=2), timedelta(hours=1)  # for a large copy on a slow line; copy.LONGEST_WAIT


def longest_wait() -> timedelta:
    """The longest wait of a row that was not chosen by a person: backoff, a server's request, or the undo window."""
    backoff = backoff_seconds(MAX_EXPONENT, settings.OUTBOX_BASE_BACKOFF_SECONDS)
    undo = timedelta(seconds=settings.OUTBOX_UNDO_SECONDS)
    return max(timedelta(seconds=backoff), LONGEST_STATED_WAIT, undo)


def cut(now: datetime) -> int:
    """End leases and waits that are longer than possible; return how many."""
    found = 0
    for name, rows, changes in _too_long(now):
        number = rows.delete()[0] if changes is None else rows.update(**changes)
        found += number
        if number:
            logs.event(logger, "clock_was_ahead", logging.WARNING, what=name, rows=number)
    return found


def _too_long(now: datetime) -> Iterator[tuple[str, QuerySet[Any], dict[str, Any] | None]]:
    """Yield (name, rows, changes; None: delete the rows).

    The conditions are on the rows' own columns, as a worker with a right clock may update a row meanwhile.
    """
    wait, lease = now + longest_wait(), now + timedelta(seconds=LONGEST_LEASE_SECONDS)
    # A mail that a person scheduled waits for its time; afterwards it waits like any other.
    unchosen = Q(send_at=None) | Q(send_at__lte=now)
    rows = OutboxMessage.objects.waiting().filter(unchosen, next_attempt_at__gt=wait)
    # Asked for each account first: SQLite begins at the time in outbox_waiting then, and does not read, and lock for
    # writing, all that waits.
    accounts = Account.objects.order_by().filter(Exists(rows.filter(account=OuterRef("pk"))))
    rows = rows.filter(account__in=list(accounts.values_list("pk", flat=True)))
    yield "outbox rows", rows, {"next_attempt_at": now}
    yield "send leases", Lease.objects.filter(purpose=Lease.Purpose.SEND, expires_at__gt=lease), None
    yield "sent leases", Lease.objects.filter(purpose=Lease.Purpose.SENT, expires_at__gt=now + SENT_LEASE), None
    yield "rate limits", SendPace.objects.filter(next_at__gt=now + LONGEST_PACE), {"next_at": now}
    smtp = Transport.objects.filter(kind=Transport.Kind.SMTP, next_allowed_at__gt=wait)
    yield "servers left alone", smtp, {"next_allowed_at": None}
    # Of all looks and copies that were ever made, few are still to be made: these alone wait or are claimed.
    looks, copies = SentLookup.objects.filter(next_look_at__isnull=False), SentCopy.objects.waiting()
    yield "looks into Sent", looks.filter(next_look_at__gt=now + SENT_WAIT), {"next_look_at": now}
    yield "copies in Sent", copies.filter(next_try_at__gt=now + SENT_WAIT), {"next_try_at": now}
    unheld = {"claim_token": "", "lease_expires_at": None}
    yield "claims of looks", looks.filter(lease_expires_at__gt=now + SENT_LEASE), unheld
    yield "claims of copies", copies.filter(lease_expires_at__gt=now + SENT_LEASE), unheld
