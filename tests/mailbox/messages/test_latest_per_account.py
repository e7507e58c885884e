"""Lists of some accounts hold what a plain condition would, read from each account's own index."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from mailbox.models import Account, AuditEntry, Message
from mailbox.views.reading import latest_per_account
from mailbox.views.reading.latest_per_account import newest_of_accounts
from tests.rows import NOWHERE, letter, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def accounts(make_account: Callable[..., Account]) -> list[Account]:
    made = [make_account(f"{number}@example.com", **NOWHERE) for number in range(3)]
    now = timezone.now()
    for number in range(15):
        store(made[number % 3], letter(str(number)), at=now - timedelta(minutes=number % 4), seen=number % 5 == 0)
    return made


@pytest.mark.parametrize("chosen", [[], [0], [0, 2], [0, 1, 2]])
@pytest.mark.parametrize("limit", [1, 4, 100])
@pytest.mark.parametrize("most", [200, 1])
@pytest.mark.in_part(6)
def test_the_first_rows_are_those_of_a_plain_condition(
    accounts: list[Account], chosen: list[int], limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for more accounts than are put together."""
    monkeypatch.setattr(latest_per_account, "MOST", most)
    pks = {accounts[number].pk for number in chosen}
    rows = Message.objects.filter(seen=False).listed().order_by("-received_at", "-pk")
    expected = rows.filter(account__in=pks).values_list("pk", flat=True)[:limit]
    found = newest_of_accounts(rows, pks, limit).values_list("pk", flat=True)[:limit]
    assert list(found) == list(expected)


def test_none_stands_for_all_accounts(accounts: list[Account]) -> None:
    rows = Message.objects.order_by("-pk")
    assert newest_of_accounts(rows, None, 3) is rows


def test_what_counts_as_well_is_in_it_once(accounts: list[Account], make_user: Callable[..., User]) -> None:
    user = make_user("")
    made = [
        AuditEntry.objects.create(account=account, user=by, verb="send").pk
        for account in (*accounts, None)
        for by in (user, None)
    ]
    found = newest_of_accounts(AuditEntry.objects.order_by("-pk"), {accounts[0].pk}, 10, also=Q(user=user))
    assert [entry.pk for entry in found] == [made[6], made[4], made[2], made[1], made[0]]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by its statistics")
def test_each_account_is_read_in_the_order_of_its_index(accounts: list[Account]) -> None:
    rows = newest_of_accounts(
        Message.objects.visible().order_by("-received_at", "-pk"), {accounts[0].pk, accounts[1].pk}, 5
    )
    sql, parameters = rows[:5].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        plan = [str(row[-1]) for row in cursor.fetchall()]
    searched = [line for line in plan if "message_newest_of_account (account_id=?)" in line]
    assert len(searched) == 2, plan
    assert not [line for line in plan if line.startswith("SCAN") and "of_account" not in line and "part" not in line]
