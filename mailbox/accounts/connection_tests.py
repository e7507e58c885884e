"""Connection tests of many accounts, after an import: AT_ONCE run at a time, and each queues the next when it ends.

So a file of accounts whose servers do not answer does not occupy all workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import User
from django.utils import timezone

from mailbox.models import Account, ConnectionTest
from mailbox.signals import connection_test_asked

AT_ONCE = 2


def ask_for_tests(accounts: Iterable[Account], user: User | None) -> None:
    """Save a test for each account, and queue the first ones."""
    ConnectionTest.objects.bulk_create(ConnectionTest(account=each, requested_by=user) for each in accounts)
    begin_more(timezone.now())


def begin_more(now: datetime, **asked: datetime) -> None:
    """Queue waiting tests, up to AT_ONCE that run. `asked`: a filter on the waiting tests, such as a time."""
    free = AT_ONCE - ConnectionTest.objects.at_work(now).count()
    _queue(list(ConnectionTest.objects.waiting().filter(**asked).values_list("pk", flat=True)[: max(0, free)]))


def begin_next() -> None:
    """Queue the next waiting test; call it when one has ended."""
    _queue(list(ConnectionTest.objects.waiting().values_list("pk", flat=True)[:1]))


def _queue(tests: list[int]) -> None:
    for pk in tests:
        connection_test_asked.send(sender=ConnectionTest, test_id=pk)
