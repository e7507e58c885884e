"""Tests of the connections of many accounts, after an import: a few run at a time, and each goes on with the next.

So a file of accounts whose servers do not answer leaves the other workers to mail.
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
    """Write down that all of them are to be tested, and have workers begin."""
    ConnectionTest.objects.bulk_create(ConnectionTest(account=each, requested_by=user) for each in accounts)
    begin_more(timezone.now())


def begin_more(now: datetime, **asked: datetime) -> None:
    """Queue as many of those that wait as may run beside those that do; `asked`: which are meant."""
    free = AT_ONCE - ConnectionTest.objects.at_work(now).count()
    _queue(list(ConnectionTest.objects.waiting().filter(**asked).values_list("pk", flat=True)[: max(0, free)]))


def begin_next() -> None:
    """One has ended: queue the next."""
    _queue(list(ConnectionTest.objects.waiting().values_list("pk", flat=True)[:1]))


def _queue(tests: list[int]) -> None:
    for pk in tests:
        connection_test_asked.send(sender=ConnectionTest, test_id=pk)
