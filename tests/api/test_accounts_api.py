"""Accounts and folders by the HTTP API: made, changed on condition, tested, deleted; no secret ever comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from api.v1.accounts import accounts
from mailbox.models import Account, AuditEntry, ConnectionTest
from tests.api.calling import Program, is_problem, ops, program, sales
from tests.api.operations import SERVERS
from tests.rows import folder_of, outbox_row

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
NEW: dict[str, Any] = {"email": "new@example.com", "display_name": "New", **SERVERS}


def test_an_account_is_made_with_its_password_which_is_never_answered(program: Program) -> None:
    made = program.post("/accounts", NEW)
    assert made.status_code == 201, made.content
    assert b"open-sesame" not in made.content
    row = Account.objects.get(email="new@example.com")
    assert (row.imap.password, row.smtp.password) == ("open-sesame", "open-sesame")
    data = made.json()["data"]
    assert data["imap"] == {
        "host": "imap.example.com",
        "port": 993,
        "security": "tls",
        "user": "new@example.com",
        "auth_method": "password",
    }
    assert (data["smtp"]["port"], data["fetches_mail"], data["push"]) == (465, True, True)
    assert [each["name"] for each in program.get(f"/accounts/{row.pk}/folders").json()["data"]] == ["INBOX"]
    assert AuditEntry.objects.filter(verb="add_account", target=f"account:{row.pk}").exists()
    assert b"open-sesame" not in program.get(f"/accounts/{row.pk}").content


@pytest.mark.parametrize("change, words", [
    ({"email": "no address"}, "email:"),
    ({"email": "OPS@example.com"}, "exists already"),
    ({"imap": {**SERVERS["imap"], "oauth_token": "both"}}, "imap.password:"),
    ({"imap": {"host": "imap.example.com", "user": "a"}}, "imap.password:"),
    ({"smtp": {"host": ""}}, "smtp.host:"),
    ({"imap": {**SERVERS["imap"], "port": 0}}, "imap.port:"),
    ({"ca_certificate": "no PEM"}, "ca_certificate:"),
    ({"display_name": "a\0"}, "display_name:"),
])  # fmt: skip
def test_what_cannot_be_an_account_is_refused_by_field(
    program: Program, ops: Account, change: dict[str, Any], words: str
) -> None:
    refused = program.post("/accounts", NEW | change)
    assert is_problem(refused, 422, "Validation")
    assert words in refused.json()["detail"]
    assert b"open-sesame" not in refused.content
    assert Account.objects.count() == 1


def test_a_change_leaves_what_is_absent_as_it_is(program: Program, ops: Account) -> None:
    before = program.get(f"/accounts/{ops.pk}").json()["data"]
    changed = program.ask("patch", f"/accounts/{ops.pk}", {"display_name": "Desk", "messages_per_minute": 30})
    assert changed.json()["data"] == before | {"display_name": "Desk", "messages_per_minute": 30}
    assert program.ask("patch", f"/accounts/{ops.pk}", {"messages_per_minute": 0}).json()["data"] == before | {
        "display_name": "Desk"
    }
    moved = program.ask("patch", f"/accounts/{ops.pk}", {"imap": {"host": "elsewhere.example.com"}})
    assert is_problem(moved, 422, "Validation")  # the stored secret goes to no other server
    assert "imap.password" in moved.json()["detail"]
    ops.imap.mark_needs_sign_in("535", ops.created_at)
    program.ask("patch", f"/accounts/{ops.pk}", {"imap": {"password": "changed-password"}})
    ops.imap.refresh_from_db()
    assert (ops.imap.password, ops.imap.needs_sign_in_since) == ("changed-password", None)


def test_a_change_on_condition_is_refused_when_somebody_was_faster(program: Program, ops: Account) -> None:
    path = f"/accounts/{ops.pk}"
    etag = program.get(path).headers["ETag"]
    assert program.ask("patch", path, {"display_name": "A"}, **{"if-match": etag}).status_code == 200
    assert is_problem(program.ask("patch", path, {"display_name": "B"}, **{"if-match": etag}), 412, "Changed")
    assert is_problem(program.ask("patch", path, {"display_name": "B"}, **{"if-match": "W/" + etag}), 412, "Changed")
    assert program.ask("patch", path, {"signature": "C"}, **{"if-match": "*"}).status_code == 200
    ops.refresh_from_db()
    assert (ops.display_name, ops.signature) == ("A", "C")


def test_what_is_absent_keeps_what_somebody_has_just_changed(
    program: Program, ops: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = accounts.account_of, list[int]()

    def asking(request: Any, pk: int, scope: Any) -> Account:
        found = real(request, pk, scope)
        if not asked:  # after this the request has read the account, and does not have it locked yet
            Account.objects.filter(pk=pk).update(display_name="Meanwhile")
        asked.append(pk)
        return found

    monkeypatch.setattr(accounts, "account_of", asking)
    assert program.ask("patch", f"/accounts/{ops.pk}", {"signature": "C"}).status_code == 200
    ops.refresh_from_db()
    assert (ops.display_name, ops.signature) == ("Meanwhile", "C")


def test_a_token_for_some_accounts_chooses_no_server_of_the_inner_network(
    make_user: Callable[..., User], ops: Account
) -> None:
    bound = Program(make_user("administrator"), accounts=[ops])
    given = {"imap": {"host": "10.0.0.1", "password": "x-y-z"}}
    refused = bound.ask("patch", f"/accounts/{ops.pk}", given)
    assert is_problem(refused, 422, "Validation")
    assert "imap.host" in refused.json()["detail"]
    assert is_problem(bound.post("/accounts", NEW), 403, "Forbidden")


def test_folders_are_chosen_and_others_stay_as_they_are(program: Program, ops: Account, sales: Account) -> None:
    inbox, other, label = folder_of(ops), folder_of(ops, "Archive"), folder_of(ops, "Label")
    type(label).objects.filter(pk=label.pk).update(is_label=True, sync_enabled=False)
    path = f"/accounts/{ops.pk}/folders"
    etag = program.get(path).headers["ETag"]
    chosen = program.ask("patch", path, {"not_synced": [other.pk]}, **{"if-match": etag}).json()["data"]
    assert {each["name"]: each["is_synced"] for each in chosen} == {"Archive": False, "INBOX": True, "Label": False}
    assert is_problem(program.ask("patch", path, {"synced": [other.pk]}, **{"if-match": etag}), 412, "Changed")
    assert is_problem(program.ask("patch", path, {"synced": [label.pk]}), 422, "Validation")
    assert is_problem(program.ask("patch", f"/accounts/{sales.pk}/folders", {"synced": [inbox.pk]}), 404, "NotFound")


def test_a_test_is_asked_for_and_its_result_read(program: Program, ops: Account, sales: Account) -> None:
    asked = program.post(f"/accounts/{ops.pk}/tests").json()["data"]
    assert asked["finished_at"] is None
    assert asked["imap"]["ok"] is None
    ConnectionTest.objects.filter(pk=asked["id"]).update(imap_ok=False, imap_reply="535 no", imap_code="sign_in")
    found = program.get(f"/accounts/{ops.pk}/tests/{asked['id']}").json()["data"]
    assert (found["imap"]["ok"], found["imap"]["reply"]) == (False, "535 no")
    assert found["imap"]["advice"]
    assert is_problem(program.get(f"/accounts/{sales.pk}/tests/{asked['id']}"), 404, "NotFound")


def test_an_account_with_mail_to_send_is_not_deleted(program: Program, ops: Account) -> None:
    row = outbox_row(ops)
    assert is_problem(program.ask("delete", f"/accounts/{ops.pk}"), 409, "Conflict")
    row.delete()
    assert program.ask("delete", f"/accounts/{ops.pk}").json() == {"ok": True, "data": None, "error": None}
    assert not Account.objects.exists()


def test_the_list_of_accounts_goes_on_at_its_cursor(program: Program, ops: Account, sales: Account) -> None:
    first = program.get("/accounts?limit=1").json()["data"]
    second = program.get(f"/accounts?limit=1&after={first['next']}").json()["data"]
    assert [each["email"] for each in first["items"] + second["items"]] == ["ops@example.com", "sales@example.com"]
    assert second["next"] is None
