"""The page of people: who may open it, what it changes, and that the last administrator stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.permissions import Role, has_role_everywhere
from people.models import Session
from people.sign_in import step_up
from tests.rows import NOWHERE

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def boss(make_user: Callable[..., User]) -> User:
    return make_user("administrator", "boss")


@pytest.fixture
def administrator(client: Client, boss: User) -> Client:
    client.force_login(boss)
    return client


@pytest.fixture
def vera(make_user: Callable[..., User]) -> User:
    return make_user("viewer", "vera")


def do(client: Client, what: str, person: User, **fields: str) -> str:
    answer = client.post(reverse(f"people:{what}", args=[person.pk]), fields, follow=True)
    return str(answer.content.decode())


def is_administrator(user: User) -> bool:
    return has_role_everywhere(User.objects.get(pk=user.pk), Role.ADMINISTRATOR)


def test_the_list_is_two_clicks_away_and_shows_each_person(administrator: Client, vera: User) -> None:
    User.objects.filter(pk=vera.pk).update(email="vera@example.test", first_name="<b>Vera")
    Client().force_login(vera)
    assert reverse("people:list") in administrator.get(reverse("dashboard")).content.decode()
    page = administrator.get(reverse("people:list")).content.decode()
    assert "vera@example.test" in page and "viewer" in page and "&lt;b&gt;Vera" in page
    found = administrator.get(reverse("people:list"), {"q": "VERA@"}).content.decode()
    assert reverse("people:person", args=[vera.pk]) in found and "boss</a>" not in found
    assert "Nobody has such a name" in administrator.get(reverse("people:list"), {"q": "\x00%"}).content.decode()


def test_a_list_of_many_costs_as_many_queries_as_of_few(
    administrator: Client, make_user: Callable[..., User], django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        make_user("viewer" if number % 2 else "", f"person-{number:02}")
    with django_assert_max_num_queries(12):
        first = administrator.get(reverse("people:list"))
    assert len(first.content) < 150_000 and "page=2" in first.content.decode()
    assert "person-59" in administrator.get(reverse("people:list"), {"page": "2"}).content.decode()


def test_the_role_for_all_accounts_is_one_of_three_or_none(administrator: Client, vera: User) -> None:
    for role, names in (("operator", ["operator"]), ("administrator", ["administrator"]), ("", [])):
        assert "The role is changed" in do(administrator, "role", vera, role=role)
        assert list(vera.groups.values_list("name", flat=True)) == names
    do(administrator, "role", vera, role="king")
    assert not vera.groups.exists()
    assert AuditEntry.objects.filter(verb="grant_rights", target=f"user:{vera.pk}").count() == 3


def test_roles_for_some_accounts_are_given_changed_and_taken(
    administrator: Client, vera: User, make_account: Callable[..., Account]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    for role in ("operator", "administrator"):
        do(administrator, "grant", vera, account="OPS@example.com", role=role)
        assert AccountGrant.objects.get(user=vera, account=account).role == role
    assert "There is no account with this address" in do(administrator, "grant", vera, account="x@y.z", role="viewer")
    do(administrator, "grant", vera, account="ops@example.com", role="")
    assert not AccountGrant.objects.exists()
    entries = AuditEntry.objects.filter(account=account).order_by("pk").values_list("verb", flat=True)
    assert list(entries) == ["grant_rights", "grant_rights", "withdraw_rights"]


def test_whoever_is_switched_off_is_signed_out_at_once_and_may_come_back(administrator: Client, vera: User) -> None:
    other = Client()
    other.force_login(vera)
    do(administrator, "switch", vera, is_active="0")
    assert other.get(reverse("profile")).status_code == 302 and not Session.objects.filter(user=vera).exists()
    other.post(reverse("login"), {"username": "vera", "password": "sign-in-please"})
    assert not Session.objects.filter(user=vera).exists()
    do(administrator, "switch", vera, is_active="1")
    assert User.objects.get(pk=vera.pk).is_active


def test_sessions_of_another_are_ended(administrator: Client, vera: User) -> None:
    other = Client()
    other.force_login(vera)
    assert "1 session was ended" in do(administrator, "end_sessions", vera)
    assert other.get(reverse("profile")).status_code == 302


def test_a_superuser_is_changed_by_superusers_alone(administrator: Client, vera: User) -> None:
    root = User.objects.create_superuser("root", password="sign-in-please")
    for what in ("role", "grant", "switch", "end_sessions"):
        assert administrator.post(reverse(f"people:{what}", args=[root.pk]), {"is_active": "0"}).status_code == 403
    assert "Only a user with all rights" in administrator.get(reverse("people:person", args=[root.pk])).content.decode()
    assert User.objects.get(pk=root.pk).is_active
    administrator.force_login(root)
    do(administrator, "role", root, role="viewer")
    assert root.groups.exists()


@pytest.mark.parametrize("what", ["role", "grant", "switch", "end_sessions"])
def test_each_change_asks_again_after_a_while(
    administrator: Client, vera: User, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = step_up.now_seconds
    monkeypatch.setattr(step_up, "now_seconds", lambda: real() + 3600)
    answer = administrator.post(reverse(f"people:{what}", args=[vera.pk]), {"role": "operator", "is_active": "0"})
    assert answer.status_code == 302 and answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert not AuditEntry.objects.filter(target=f"user:{vera.pk}").exists()
