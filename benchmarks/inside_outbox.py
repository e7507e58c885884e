"""Run inside an installation, by Site.inside(): rows to send, the moment they are due, and what became of them."""

from __future__ import annotations

import time
from collections import Counter
from mailbox.models import Account, WorkerHeartbeat
from unittest import mock

from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from outbox import api, delivery, tasks
from outbox.models import OutboxMessage


def queue_rows(account_ids: list[int], mails: list[tuple[str, str]], text: str) -> None:
    """Write the mails down, in turns over accounts that are paused: nobody begins before make_due()."""
    Account.objects.update(sending_paused_at=timezone.now())
    for start in range(0, len(mails), 100):
        # What is only prepared need not survive a power cut, nor wake workers: that takes many times as long.
        with mock.patch("os.fsync"), mock.patch("outbox.tasks.queue_delivery"), transaction.atomic():
            for number, (to, subject) in enumerate(mails[start : start + 100]):
                answer = api.queue(account_ids[number % len(account_ids)], to, subject, text)
                if not answer.ok:
                    raise RuntimeError(str(answer.error))
    wait_for_quiet()


def wait_for_quiet(seconds: float = 60) -> None:
    """Until the workers, if there are any, have nothing left that was queued before."""
    end = time.monotonic() + seconds
    while WorkerHeartbeat.objects.exists() and OrmQ.objects.exists() and time.monotonic() < end:
        time.sleep(0.05)
    OrmQ.objects.all().delete()
    time.sleep(1)  # the last of them may be at it still


def make_due() -> float:
    """The accounts may send, and the sweep finds what is due, as it does each half minute; the time when it did."""
    begin = time.monotonic()
    Account.objects.update(sending_paused_at=None)
    tasks.sweep()
    return begin


def deliver(account_id: int) -> float:
    """What a worker runs for an account, here and now until nothing is due; the time at which it began."""
    Account.objects.update(sending_paused_at=None)
    begin = time.monotonic()
    while delivery.deliver_account(account_id).more_due:
        pass
    return begin


def outcomes() -> dict[str, int]:
    """How many rows there are of each state."""
    return dict(Counter(OutboxMessage.objects.values_list("status", flat=True)))


def wait_until_settled(seconds: float = 60) -> dict[str, int]:
    """Until no row is being sent; how many rows there are of each state."""
    end = time.monotonic() + seconds
    while (found := outcomes()).keys() - {"sent"} and time.monotonic() < end:
        time.sleep(0.05)
    return found
