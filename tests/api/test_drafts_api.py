"""Drafts by the API: the same rows as the pages', sent once by either, and nobody else's."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbox.models import Account, AuditEntry, UserPreference
from mailbox.storage import raw_store
from outbox.compose import drafts
from outbox.models import AttachmentPolicy, Draft, OutboxMessage
from tests.api.calling import Program, is_problem, ops, sales
from tests.rows import letter, letter_with, store

__all__ = ["ops", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
PDF = {"filename": "a.pdf", "base64": b64encode(b"%PDF-1.4").decode()}


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user("operator")


@pytest.fixture
def program(ann: User) -> Program:
    return Program(ann)


def typed(account: Account, **changes: Any) -> dict[str, Any]:
    return {"account_id": account.pk, "to": "bob@example.com", "subject": "Hi", "body_text": "Dear Bob"} | changes


def made(program: Program, account: Account, **changes: Any) -> dict[str, Any]:
    answered = program.post("/drafts", typed(account, **changes))
    assert answered.status_code == 201, answered.content
    found: dict[str, Any] = answered.json()["data"]
    return found


def test_a_program_writes_a_draft_that_its_person_sends_from_the_page(
    program: Program, ann: User, ops: Account, client: Client
) -> None:
    draft = made(program, ops, attachments=[PDF])
    client.force_login(ann)
    row = Draft.objects.get(pk=draft["id"])
    page = client.get(f"/outbox/compose/?draft={row.pk}&key={row.key}").content.decode()
    assert "Dear Bob" in page and "a.pdf" in page
    kept = {"kept": [row.files.get().form_key], "draft": row.pk, "version": row.version}
    form = {"account": ops.pk, "to": row.to, "subject": row.subject, "body_text": row.body_text}
    client.post(f"/outbox/compose/?draft={row.pk}&key={row.key}", form | kept | {"idempotency_key": row.key})
    mail = OutboxMessage.objects.get()
    assert (mail.to, mail.attachment_rows.get().filename) == ("bob@example.com", "a.pdf")
    assert is_problem(program.get(f"/drafts/{row.pk}"), 404, "NotFound")


def test_a_draft_of_a_page_is_sent_by_a_program_once(program: Program, ann: User, ops: Account, client: Client) -> None:
    client.force_login(ann)
    form = {"account": ops.pk, "to": "bob@example.com", "subject": "Hi", "body_text": "Dear Bob", "do": "draft"}
    client.post("/outbox/compose/", form)
    draft = Draft.objects.get()
    first = program.post(f"/drafts/{draft.pk}/send", {}, **{"idempotency-key": "k"})
    again = program.post(f"/drafts/{draft.pk}/send", {}, **{"idempotency-key": "k"})
    assert first.status_code == again.status_code == 202 and first.json() == again.json()
    assert not Draft.objects.exists()
    # The page was open meanwhile, and somebody presses Send there.
    page = {**form, "do": "", "draft": draft.pk, "version": draft.version, "idempotency_key": draft.key}
    client.post(f"/outbox/compose/?draft={draft.pk}&key={draft.key}", page)
    mail = OutboxMessage.objects.get()
    assert mail.pk == first.json()["data"]["outbox_id"]
    assert AuditEntry.objects.filter(verb="use_token", detail=f"p: /api/v1/drafts/{draft.pk}/send").exists()


def test_another_mail_of_a_draft_that_was_sent_is_not_made(
    program: Program, ann: User, ops: Account, client: Client
) -> None:
    draft = made(program, ops)
    key = Draft.objects.get().key
    client.force_login(ann)
    other = {"account": ops.pk, "to": "bob@example.com", "subject": "Hi", "body_text": "Other", "idempotency_key": key}
    client.post("/outbox/compose/", other)
    assert OutboxMessage.objects.count() == 1
    assert is_problem(program.post(f"/drafts/{draft['id']}/send", {}), 409, "Conflict")
    assert OutboxMessage.objects.count() == 1 and Draft.objects.exists()


def test_a_reply_a_forwarded_file_and_a_sending_time_stay_with_the_draft(
    program: Program, ann: User, ops: Account
) -> None:
    UserPreference.objects.update_or_create(pk=ann.pk, defaults={"time_zone": "Asia/Tokyo"})
    question = store(ops, letter("Question", From="bob@example.com"))
    at = (timezone.now() + timedelta(days=2)).replace(second=0, microsecond=0)
    draft = made(program, ops, reply_to=question.pk, send_at=at.isoformat(), subject="Re: Question")
    assert draft["start"] == f"reply_to={question.pk}"
    assert draft["send_at"] == (at + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M"), "as its person would type it"
    assert program.post(f"/drafts/{draft['id']}/send", {}).status_code == 202
    mail = OutboxMessage.objects.get()
    assert (mail.parent_id, mail.send_at) == (question.pk, at)
    report = store(ops, letter_with(b"%PDF-1.4", "report.pdf"))
    row = Draft.objects.create(user=ann, account=ops, to="eve@example.com", subject="Fwd", body_text="See it.")
    Draft.objects.filter(pk=row.pk).update(start=f"forward={report.pk}", kept=["0"])
    sent = program.post(f"/drafts/{row.pk}/send", {}).json()["data"]["outbox_id"]
    assert OutboxMessage.objects.get(pk=sent).attachment_rows.get().filename == "report.pdf"
    assert AuditEntry.objects.filter(verb="forward", target=f"message:{report.pk}").exists()


def test_files_are_added_left_out_and_checked(program: Program, ops: Account) -> None:
    draft = made(program, ops, attachments=[PDF, PDF | {"filename": "b.pdf"}])
    first, second = draft["files"]
    assert (first["filename"], first["size"], first["is_kept"]) == ("a.pdf", 8, True)
    changed = program.ask("put", f"/drafts/{draft['id']}", typed(ops, subject="Other", keep=[second["id"]]))
    assert [each["is_kept"] for each in changed.json()["data"]["files"]] == [False, True]
    more = typed(ops, attachments=[PDF | {"filename": "c.pdf"}])
    assert program.ask("put", f"/drafts/{draft['id']}", more).json()["data"]["files"][2]["is_kept"]
    assert is_problem(program.ask("put", f"/drafts/{draft['id']}", typed(ops, keep=[999])), 422, "Validation")
    for wrong, words in (({"filename": "a.exe"}, "content type"), ({"base64": "%"}, "base64")):
        refused = program.post("/drafts", typed(ops, attachments=[PDF | wrong]))
        assert is_problem(refused, 422, "Validation") and words in refused.json()["detail"]
    sent = program.post(f"/drafts/{draft['id']}/send", {}).json()["data"]["outbox_id"]
    mail = OutboxMessage.objects.get(pk=sent)
    assert [each.filename for each in mail.attachment_rows.order_by("position")] == ["b.pdf", "c.pdf"]
    assert b"b.pdf" in raw_store.open_raw(mail.mime_digest)


def test_a_file_that_the_policy_refuses_now_or_that_is_gone_is_not_left_out_silently(
    program: Program, ann: User, ops: Account
) -> None:
    draft = made(program, ops, attachments=[PDF])
    AttachmentPolicy.current()
    AttachmentPolicy.objects.update(allowed_content_types=["text/plain"])
    refused = program.post(f"/drafts/{draft['id']}/send", {})
    assert is_problem(refused, 422, "Validation") and "a.pdf" in refused.json()["detail"]
    row = Draft.objects.create(user=ann, account=ops, to="eve@example.com", subject="Fwd", body_text="x", kept=["0"])
    assert is_problem(program.post(f"/drafts/{row.pk}/send", {}), 422, "Validation")
    assert not OutboxMessage.objects.exists()


def test_a_draft_is_changed_as_it_was_seen(program: Program, ops: Account) -> None:
    draft = made(program, ops)
    at = f"/drafts/{draft['id']}"
    etag = program.get(at).headers["ETag"]
    changed = program.ask("put", at, typed(ops, subject="Other"), **{"if-match": etag})
    assert (changed.json()["data"]["subject"], changed.json()["data"]["version"]) == ("Other", 2)
    for method, path, body in (("put", at, typed(ops)), ("post", f"{at}/send", {}), ("delete", at, None)):
        assert is_problem(program.ask(method, path, body, **{"if-match": etag}), 412, "Changed")
    assert program.ask("delete", at, **{"if-match": program.get(at).headers["ETag"]}).status_code == 200
    assert not Draft.objects.exists() and not OutboxMessage.objects.exists()


def test_what_cannot_be_sent_is_said_and_kept(program: Program, ops: Account) -> None:
    for change, words in (({"to": ""}, "to: "), ({"subject": ""}, "subject: "), ({"body_text": ""}, "even_if_empty")):
        draft = made(program, ops, **change)
        refused = program.post(f"/drafts/{draft['id']}/send", {})
        assert is_problem(refused, 422, "Validation") and words in refused.json()["detail"]
    assert Draft.objects.count() == 3
    assert program.post(f"/drafts/{draft['id']}/send", {"even_if_empty": True}).status_code == 202
    assert is_problem(program.post("/drafts", typed(ops, **{"from": "eve@example.com"})), 422, "Validation")
    for far in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59"):
        assert is_problem(program.post("/drafts", typed(ops, send_at=far)), 422, "Validation")
    assert made(program, ops, send_at="2020-01-01T00:00:00Z")["send_at"] == ""


def test_drafts_are_their_persons_and_a_tokens_accounts(
    program: Program, ann: User, make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    mine, other = made(program, ops), made(program, sales)
    nobodys = program.post("/drafts", typed(ops) | {"account_id": None}).json()["data"]
    listed = [each["id"] for each in program.get("/drafts").json()["data"]["items"]]
    assert listed == [nobodys["id"], other["id"], mine["id"]]
    first = program.get("/drafts?limit=2").json()["data"]
    second = program.get(f"/drafts?limit=2&before={first['next']}").json()["data"]
    assert [each["id"] for each in first["items"] + second["items"]] == listed and second["next"] is None
    bound = Program(ann, accounts=[ops])
    assert [each["id"] for each in bound.get("/drafts").json()["data"]["items"]] == [mine["id"]]
    assert is_problem(bound.get(f"/drafts/{other['id']}"), 404, "NotFound")
    assert is_problem(bound.post("/drafts", typed(ops) | {"account_id": None}), 403, "Forbidden")
    assert is_problem(Program(make_user("administrator")).get(f"/drafts/{mine['id']}"), 404, "NotFound")
    # A draft that forwards mail of an account which the token does not cover.
    row = Draft.objects.create(user=ann, account=ops, to="eve@example.com", subject="Fwd", body_text="x")
    Draft.objects.filter(pk=row.pk).update(start=f"forward={store(sales, letter()).pk}")
    assert is_problem(bound.post(f"/drafts/{row.pk}/send", {}), 404, "NotFound")
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("name", ["to", "cc", "bcc", "subject", "body_text"])
def test_a_text_is_kept_whole_or_refused(program: Program, ops: Account, name: str) -> None:
    """Of a longer one the row would have the beginning, and the mail too."""
    whole = "x" * drafts.LONGEST[name]
    draft = made(program, ops, **{name: whole})
    assert getattr(Draft.objects.get(), name) == whole
    for method, path in (("post", "/drafts"), ("put", f"/drafts/{draft['id']}")):
        refused = program.ask(method, path, typed(ops, **{name: whole + "y"}))
        assert is_problem(refused, 422, "Validation") and name in refused.json()["detail"]
    assert getattr(Draft.objects.get(), name) == whole


def test_the_list_of_drafts_does_not_load_their_texts(program: Program, ops: Account) -> None:
    """500 of them would be gigabytes."""
    draft = made(program, ops)
    with CaptureQueriesContext(connection) as asked:
        (line,) = program.get("/drafts").json()["data"]["items"]
    assert line == {name: value for name, value in draft.items() if name != "body_text"}
    assert not any("body_text" in each["sql"] for each in asked.captured_queries)
