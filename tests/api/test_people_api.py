"""People by the HTTP API: what the pages allow and refuse, and that a token gives nobody more than it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from api.models import Scope, Token
from mailbox.models import Account, AccountGrant, AuditEntry
from outbox.models import OutboxMessage
from people.links import site_mail
from people.models import Session
from tests.api.calling import Program, is_problem, ops, program, sales

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
NEW = {"email": "Nina@example.test", "full_name": "Nina Novak", "role": "operator"}


@pytest.fixture
def vera(make_user: Callable[..., User]) -> User:
    return make_user("viewer", "vera")


def put(program: Program, person: User, what: str, body: dict[str, Any], **headers: str) -> Any:
    return program.ask("put", f"/people/{person.pk}/{what}", body, **headers)


def state(program: Program, person: User) -> dict[str, Any]:
    found: dict[str, Any] = program.get(f"/people/{person.pk}").json()["data"]
    return found


def test_the_list_goes_on_by_user_name_and_is_searched(program: Program, make_user: Callable[..., User]) -> None:
    for name in ("ben", "ann", "cleo"):
        make_user("viewer", name)
    first = program.get("/people?limit=2").json()["data"]
    rest = program.get(f"/people?limit=2&after={first['next']}").json()["data"]
    names = [each["username"] for each in first["items"] + rest["items"]]
    assert names == sorted(User.objects.values_list("username", flat=True)) and rest["next"] is None
    found = program.get("/people?q=CLE").json()["data"]["items"]
    assert [(each["username"], each["role"], each["is_active"]) for each in found] == [("cleo", "viewer", True)]


def test_a_person_is_invited_for_some_accounts_or_for_all(program: Program, ops: Account) -> None:
    answered = program.post("/people", NEW | {"account_ids": [ops.pk]})
    assert answered.status_code == 201 and b"/password/" not in answered.content
    made = answered.json()["data"]
    assert (made["username"], made["full_name"], made["role"]) == ("nina@example.test", "Nina Novak", "")
    assert made["accounts"] == [{"account_id": ops.pk, "role": "operator"}]
    assert (made["is_invited"], made["is_mailed"]) == (True, False)
    entries = AuditEntry.objects.filter(verb__in=["invite", "use_token"]).order_by("pk").values_list("verb", "detail")
    assert list(entries) == [
        ("invite", "nina@example.test: operator, ops@example.com"),
        ("use_token", "p: /api/v1/people"),
    ]
    everywhere = program.post("/people", NEW | {"email": "otto@example.test"}).json()["data"]
    assert (everywhere["role"], everywhere["accounts"]) == ("operator", [])


def test_an_invitation_is_mailed_once_without_its_link_in_the_answer(program: Program, ops: Account) -> None:
    site_mail.choose(None, ops)
    first = program.post("/people", NEW, **{"idempotency-key": "k"})
    again = program.post("/people", NEW, **{"idempotency-key": "k"})
    assert first.json()["data"]["is_mailed"] is True and first.content == again.content
    assert b"/password/" not in first.content
    assert OutboxMessage.objects.get().to == "Nina@example.test"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"email": "VERA@example.test"}, 422, "Validation"),
        ({"email": "none"}, 422, "Validation"),
        ({"role": "king"}, 422, "Validation"),
        ({"role": ""}, 422, "Validation"),
        ({"account_ids": []}, 422, "Validation"),
        ({"account_ids": [2**40]}, 404, "NotFound"),
    ],
)
def test_who_cannot_be_invited_is_refused(
    program: Program, vera: User, change: dict[str, Any], status: int, code: str
) -> None:
    User.objects.filter(pk=vera.pk).update(email="vera@example.test")
    before = User.objects.count()
    assert is_problem(program.post("/people", NEW | change), status, code)
    assert User.objects.count() == before


def test_nobody_is_invited_where_passwords_are_off(program: Program, settings: Settings) -> None:
    settings.LOCAL_PASSWORDS = False
    assert is_problem(program.post("/people", NEW), 409, "Conflict")
    assert not User.objects.filter(email=NEW["email"]).exists()


def test_roles_are_given_and_taken_for_all_accounts_and_for_one(program: Program, vera: User, ops: Account) -> None:
    assert put(program, vera, "role", {"role": "administrator"}).json()["data"]["role"] == "administrator"
    one = put(program, vera, f"accounts/{ops.pk}", {"role": "operator"}).json()["data"]
    assert one["accounts"] == [{"account_id": ops.pk, "role": "operator"}] and one["for_some"] == 1
    assert put(program, vera, f"accounts/{ops.pk}", {"role": ""}).json()["data"]["accounts"] == []
    assert put(program, vera, "role", {"role": ""}).json()["data"]["role"] == ""
    assert is_problem(put(program, vera, "accounts/99999", {"role": "viewer"}), 404, "NotFound")
    assert is_problem(put(program, User(pk=99999), "role", {"role": "viewer"}), 404, "NotFound")


def test_a_change_heeds_what_was_seen(program: Program, vera: User) -> None:
    seen = program.get(f"/people/{vera.pk}").headers["ETag"]
    assert put(program, vera, "role", {"role": "operator"}, **{"if-match": seen}).status_code == 200
    assert is_problem(put(program, vera, "role", {"role": "viewer"}, **{"if-match": seen}), 412, "Changed")
    assert state(program, vera)["role"] == "operator"


@pytest.mark.parametrize(
    ("lacking", "role", "is_given"),
    [
        ("read", "viewer", False),
        ("send", "viewer", True),
        ("send", "operator", False),
        ("operate", "operator", False),
        ("administer", "operator", True),
        ("administer", "administrator", False),
        ("read", "administrator", False),
    ],
)
def test_a_token_gives_no_role_whose_scopes_it_lacks(
    make_user: Callable[..., User], vera: User, ops: Account, lacking: str, role: str, is_given: bool
) -> None:
    """By invitation, for all accounts, for one account, and by switching somebody on."""
    narrow = Program(make_user("administrator"), scopes=[each for each in Scope if each != lacking])
    answers = [
        narrow.post("/people", NEW | {"role": role}),
        put(narrow, vera, f"accounts/{ops.pk}", {"role": role}),
        put(narrow, vera, "role", {"role": role}),
    ]
    if is_given:
        assert [each.status_code for each in answers] == [201, 200, 200]
    else:
        assert all(is_problem(each, 403, "Forbidden") and lacking in each.json()["detail"] for each in answers)
        assert list(vera.groups.values_list("name", flat=True)) == ["viewer"]
        assert not AccountGrant.objects.exists() and not User.objects.filter(email=NEW["email"]).exists()
    User.objects.filter(pk=vera.pk).update(is_active=False)
    assert is_problem(put(narrow, vera, "active", {"is_active": True}), 403, "Forbidden")
    assert not User.objects.get(pk=vera.pk).is_active


def test_without_the_scope_of_people_nobody_is_read_or_changed(make_user: Callable[..., User], vera: User) -> None:
    """Tokens that were made to administer accounts have not grown."""
    older = Program(make_user("administrator"), scopes=[each for each in Scope if each != Scope.PEOPLE])
    assert is_problem(older.get("/people"), 403, "Forbidden")
    assert is_problem(put(older, vera, "role", {"role": ""}), 403, "Forbidden")
    assert is_problem(older.post("/people", NEW), 403, "Forbidden")


def test_the_last_administrator_stays(program: Program, vera: User) -> None:
    boss = Token.objects.get().user
    for what, body in (("role", {"role": "operator"}), ("role", {"role": ""}), ("active", {"is_active": False})):
        answered = put(program, boss, what, body)
        assert is_problem(answered, 409, "Conflict")
        assert "nobody could administer the site" in answered.json()["detail"]
    assert (state(program, boss)["role"], state(program, boss)["is_active"]) == ("administrator", True)
    put(program, vera, "role", {"role": "administrator"})
    assert put(program, boss, "role", {"role": "operator"}).status_code == 200
    assert list(boss.groups.values_list("name", flat=True)) == ["operator"]


def test_a_user_with_all_rights_is_changed_by_such_a_users_token_alone(program: Program, vera: User) -> None:
    root = User.objects.create_superuser("root", password="sign-in-please")
    refused = [
        put(program, root, "role", {"role": "viewer"}),
        put(program, root, "active", {"is_active": False}),
        program.post(f"/people/{root.pk}/sign-out"),
        program.ask("delete", f"/people/{root.pk}"),
    ]
    assert all(is_problem(each, 403, "Forbidden") for each in refused)
    assert put(Program(root), root, "role", {"role": "viewer"}).status_code == 200


def test_whoever_is_switched_off_is_signed_out_and_their_tokens_are_refused(program: Program, vera: User) -> None:
    browser, theirs = Client(), Program(vera)
    browser.force_login(vera)
    assert put(program, vera, "active", {"is_active": False}).json()["data"]["is_active"] is False
    assert not Session.objects.filter(user=vera).exists()
    assert is_problem(theirs.get("/accounts"), 401, "Unauthorized")
    assert put(program, vera, "active", {"is_active": True}).json()["data"]["is_active"] is True
    assert theirs.get("/accounts").status_code == 200


def test_sessions_of_a_person_are_ended(program: Program, vera: User) -> None:
    Client().force_login(vera)
    assert program.post(f"/people/{vera.pk}/sign-out").status_code == 200
    assert not Session.objects.filter(user=vera).exists()


def test_an_invitation_is_withdrawn_until_the_person_signs_in(program: Program, vera: User) -> None:
    invited = program.post("/people", NEW).json()["data"]["id"]
    assert program.ask("delete", f"/people/{invited}").status_code == 200
    assert not User.objects.filter(pk=invited).exists()
    assert is_problem(program.ask("delete", f"/people/{vera.pk}"), 409, "Conflict")
    assert User.objects.filter(pk=vera.pk).exists()


def test_a_token_that_removes_its_own_user_is_told_so(program: Program, make_user: Callable[..., User]) -> None:
    """`manage.py token` makes one for whoever was invited."""
    pending = make_user("administrator", "pending")
    pending.set_unusable_password()
    pending.save()
    own = Program(pending)
    assert own.ask("delete", f"/people/{pending.pk}").status_code == 200
    assert AuditEntry.objects.filter(verb="use_token", user=None, detail=f"p: /api/v1/people/{pending.pk}").exists()
    assert is_problem(own.get("/accounts"), 401, "Unauthorized")
