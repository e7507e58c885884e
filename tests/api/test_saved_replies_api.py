"""Saved replies, stored mail and the servers of an address by the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django_q.models import OrmQ

from mailbox.autoconfig import lookup
from mailbox.autoconfig.servers import to_json
from mailbox.models import Account, AuditEntry, Message, Reparse, SettingsLookup
from outbox.models import SavedReply
from outbox.views.writing import saved_replies
from tests.api.calling import Program, is_problem, ops, program, sales
from tests.rows import letter, store

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_a_saved_reply_is_added_changed_filled_and_removed(program: Program, ops: Account) -> None:
    text = "Dear {{recipient name}}, about “{{subject}}”. {{sender name}}"
    made = program.post("/saved-replies", {"name": "Thanks", "text": text, "account_id": ops.pk}).json()["data"]
    at = f"/saved-replies/{made['id']}"
    mail = {"account_id": ops.pk, "to": "Ann Ash <ann@example.com>", "subject": "Re: June"}
    assert program.post(f"{at}/fill", mail).json()["data"]["text"] == "Dear Ann Ash, about “June”. ops@example.com"
    etag = program.get(at).headers["ETag"]
    changed = program.ask("put", at, {"name": "Thanks", "text": "Thank you"}, **{"if-match": etag})
    assert (changed.json()["data"]["account_id"], changed.json()["data"]["text"]) == (None, "Thank you")
    assert is_problem(program.ask("delete", at, **{"if-match": etag}), 412, "Changed")
    unknown = program.post("/saved-replies", {"name": "x", "text": "{{age}}"})
    assert is_problem(unknown, 422, "Validation") and "{{age}}" in unknown.json()["detail"]
    assert program.ask("delete", at).status_code == 200
    verbs = set(AuditEntry.objects.values_list("verb", flat=True)) - {"make_token"}
    assert verbs == {"add_saved_reply", "edit_saved_reply", "remove_saved_reply", "use_token"}
    assert AuditEntry.objects.filter(verb="use_token").count() == 3, "filling changes nothing"


def test_saved_replies_of_all_accounts_are_used_by_each_and_changed_by_operators_of_all(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    common = SavedReply.objects.create(name="Common", text="x")
    own, other = (SavedReply.objects.create(name=each.email, text="x", account=each) for each in (ops, sales))
    bound = Program(make_user("operator"), accounts=[ops])
    assert [each["id"] for each in bound.get("/saved-replies").json()["data"]] == [common.pk, own.pk]
    assert is_problem(bound.get(f"/saved-replies/{other.pk}"), 404, "NotFound")
    given = {"name": "y", "text": "y"}
    assert is_problem(bound.ask("put", f"/saved-replies/{common.pk}", given), 403, "Forbidden")
    assert is_problem(bound.ask("put", f"/saved-replies/{own.pk}", given), 403, "Forbidden")
    assert is_problem(bound.ask("put", f"/saved-replies/{own.pk}", given | {"account_id": sales.pk}), 404, "NotFound")
    assert is_problem(bound.ask("delete", f"/saved-replies/{common.pk}"), 403, "Forbidden")
    hidden = [bound.ask("put", f"/saved-replies/{pk}", given, **{"if-match": '"x"'}) for pk in (other.pk, 2**40)]
    assert all(is_problem(each, 404, "NotFound") for each in hidden), "412 would say that there is one"
    assert bound.ask("put", f"/saved-replies/{own.pk}", given | {"account_id": ops.pk}).status_code == 200
    assert Program(make_user("viewer")).get("/saved-replies").json()["data"] == []


def test_there_are_not_too_many_saved_replies(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_replies, "MOST_REPLIES", 1)
    assert program.post("/saved-replies", {"name": "a", "text": "x"}).status_code == 201
    refused = program.post("/saved-replies", {"name": "b", "text": "x"})
    assert is_problem(refused, 422, "Validation") and "remove one first" in refused.json()["detail"]
    pk = SavedReply.objects.get().pk
    assert program.ask("put", f"/saved-replies/{pk}", {"name": "c", "text": "x"}).status_code == 200


def test_stored_mail_is_read_again_by_one_round(
    program: Program, ops: Account, django_capture_on_commit_callbacks: Any
) -> None:
    store(ops, letter())
    Message.objects.update(parser_version=None)
    assert program.get("/reparse").json()["data"] == {"waiting": 1, "rounds": []}
    with django_capture_on_commit_callbacks(execute=True):
        first, second = (program.post("/reparse", {}).json()["data"] for _ in range(2))
    assert first == second and first["total"] == 1
    assert OrmQ.objects.count() == 1 and AuditEntry.objects.filter(verb="reparse").count() == 1
    assert program.get(f"/reparse/{first['id']}").json()["data"] == first
    assert program.post("/reparse", {"everything": True}).json()["data"]["id"] != first["id"]
    assert Reparse.objects.count() == 2


def test_the_servers_of_an_address_are_found_as_the_page_finds_them(
    program: Program,
    make_user: Callable[..., User],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    known = program.post("/autoconfig", {"email": "ann@gmail.com"}).json()["data"]
    assert (known["preset"], known["imap"]["host"], known["smtp"]["port"]) == ("gmail", "imap.gmail.com", 465)
    assert known["imap"]["source"] == "preset" and known["finished_at"] and not OrmQ.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        asked = program.post("/autoconfig", {"email": "ann@company.example"}).json()["data"]
    assert (asked["finished_at"], asked["imap"]) == (None, None)
    assert OrmQ.objects.count() == 1, "a worker looks"
    found = lookup.found_by(SettingsLookup.objects.get(pk=known["id"]))
    SettingsLookup.objects.filter(pk=asked["id"]).update(finished_at="2026-01-01T00:00Z", found=to_json(found))
    assert program.get(f"/autoconfig/{asked['id']}").json()["data"]["smtp"] == known["smtp"]
    assert is_problem(program.post("/autoconfig", {"email": "no address"}), 422, "Validation")
    assert is_problem(Program(make_user("administrator")).get(f"/autoconfig/{asked['id']}"), 404, "NotFound")
    monkeypatch.setattr(lookup, "MOST", 2)
    busy = program.post("/autoconfig", {"email": "bob@company.example"})
    assert is_problem(busy, 429, "RateLimited") and busy.headers["Retry-After"]
