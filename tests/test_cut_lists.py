"""A list that is shown without further pages says when it is not whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from alerts.models import AlertIncident
from api.models import Token
from mailbox.models import Account, AuditEntry, Export, LaterReading, PersonSearch
from mailbox.views.pagination import FirstRows
from people.models import Session
from tests.commands import Run, run
from tests.rows import NOWHERE, letter, outbox_row, store

__all__ = ["run"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


def exports(user: User, account: Account, number: int) -> str:
    Export.objects.bulk_create(Export(form="zip", user=user) for _ in range(number))
    return "/exports/"


def readings(user: User, account: Account, number: int) -> str:
    for _ in range(number):
        message = store(account, letter())
        LaterReading.objects.create(message=message, account=account, purpose="report", error="E")
    return "/quarantine/"


def searches(user: User, account: Account, number: int) -> str:
    PersonSearch.objects.bulk_create(PersonSearch(address="a@b.example", digest="0" * 16) for _ in range(number))
    return "/personal-data/"


def incidents(user: User, account: Account, number: int) -> str:
    now = timezone.now()
    same = {"kind": "ending", "sentence": "S", "path": "/", "opened_at": now, "present_since": now}
    AlertIncident.objects.bulk_create(AlertIncident(key=f"ending:{uuid4()}", **same) for _ in range(number))
    return "/alerts/"


def history(user: User, account: Account, number: int) -> str:
    row = account.outbox.first() or outbox_row(account)
    AuditEntry.objects.bulk_create(AuditEntry(verb="retry", target=f"outbox:{row.pk}") for _ in range(number))
    return f"/outbox/{row.pk}/"


def sessions(user: User, account: Account, number: int) -> str:
    ends = timezone.now() + timedelta(days=1)
    Session.objects.bulk_create(
        Session(session_key=str(uuid4()), session_data="", expire_date=ends, user=user) for _ in range(number)
    )
    return f"/people/{user.pk}/"


@pytest.mark.parametrize(
    ("add", "most"), [(exports, 50), (readings, 50), (searches, 30), (incidents, 200), (history, 50), (sessions, 20)]
)
def test_a_page_says_that_it_does_not_show_all(
    administrator: Client,
    account: Account,
    make_user: Callable[..., User],
    add: Callable[[User, Account, int], str],
    most: int,
) -> None:
    whose, said = make_user("operator", "whose"), f"Only {most} are shown here; there are more."
    assert said not in administrator.get(add(whose, account, most)).content.decode()
    assert said in administrator.get(add(whose, account, 1)).content.decode()


def test_the_first_rows_know_whether_there_are_more() -> None:
    assert list(FirstRows([1, 2, 3], 3)) == [1, 2, 3] and not FirstRows([1, 2, 3], 3).is_cut
    assert list(FirstRows([1, 2, 3], 2)) == [1, 2] and FirstRows([1, 2, 3], 2).is_cut


def test_tokens_go_on_on_a_further_page(client: Client, make_user: Callable[..., User]) -> None:
    user = make_user("administrator")
    ends = timezone.now()
    Token.objects.bulk_create(
        Token(user=user, name=f"t{each}.", digest=f"d{each}", scopes=["read"], expires_at=ends) for each in range(101)
    )
    client.force_login(user)
    first = client.get("/tokens/").content.decode()
    oldest = Token.objects.order_by("pk")[1].pk
    assert "t0." not in first and "t1." in first and f"?before={oldest}" in first
    second = client.get(f"/tokens/?before={oldest}").content.decode()
    assert "t0." in second and "t1." not in second and "?before=" not in second


def test_the_command_says_that_there_are_more(account: Account, run: Run) -> None:
    for _ in range(3):
        outbox_row(account)
    assert run("outbox", "--limit", "2")[1]["data"]["has_more"] is True
    assert run("outbox", "--limit", "3")[1]["data"]["has_more"] is False
