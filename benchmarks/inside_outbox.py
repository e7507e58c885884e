"""Run inside an installation, by Site.inside(): rows to send, the moment they are due, and what became of them."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from outbox import api, delivery, tasks
from outbox.models import OutboxMessage

LATER = timedelta(hours=1)


def queue_rows(account_ids: list[int], mails: list[tuple[str, str]], text: str) -> None:
    """Write the mails down, one account after another, to be due in an hour: nobody begins before make_due()."""
    for start in range(0, len(mails), 100):
        with transaction.atomic():  # one wait for the disk a hundred
            for number, (to, subject) in enumerate(mails[start : start + 100]):
                answer = api.queue(account_ids[number % len(account_ids)], to, subject, text)
                if not answer.ok:
                    raise RuntimeError(str(answer.error))
    OutboxMessage.objects.filter(status="pending").update(next_attempt_at=timezone.now() + LATER)
    OrmQ.objects.all().delete()  # the tasks that would look for them at once


def make_due() -> float:
    """All rows are due now, and the sweep finds them, as it does each half minute; the time when they were."""
    OutboxMessage.objects.filter(status="pending").update(next_attempt_at=timezone.now())
    begin = time.monotonic()
    tasks.sweep()
    return begin


def deliver(account_id: int) -> float:
    """What a worker runs for an account, here and now until nothing is due; the time at which it began."""
    OutboxMessage.objects.filter(status="pending").update(next_attempt_at=timezone.now())
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
