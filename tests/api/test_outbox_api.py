"""The outbox by the HTTP API: bulk with a dry run, what is done to one mail, files by ranges."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from mailbox.models import Account, AuditEntry
from outbox.actions import bulk as actions_bulk
from outbox.models import AttachmentPolicy, Operation, OutboxMessage, SendingSwitch, SuppressedAddress
from outbox.views import visible_rows
from tests.api.calling import Program, is_problem, mail, ops, program, sales
from tests.api.operations import with_file
from tests.rows import letter, letter_with, outbox_row, store

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
CANCEL: dict[str, Any] = {"action": "cancel", "filter": {"q": "Offer"}}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(program: Program, ops: Account, sales: Account) -> None:
    rows = [outbox_row(account, subject="Offer") for account in (ops, sales)]
    outbox_row(ops, subject="Offer", status="failed", hold="uncertain")
    said = program.post("/outbox/bulk", CANCEL | {"dry_run": True})
    assert said.status_code == 200
    data = said.json()["data"]
    assert (data["will"], data["total"], [each["number"] for each in data["skipped"]]) == (2, 3, [1])
    assert not Operation.objects.exists()
    assert not AuditEntry.objects.filter(verb="use_token").exists()
    begun = program.post("/outbox/bulk", CANCEL | {"question": data["question"]})
    assert begun.status_code == 202, begun.content
    again = program.post("/outbox/bulk", CANCEL | {"question": data["question"]})
    assert again.json() == begun.json()
    actions_bulk.run(begun.json()["data"]["id"])
    assert set(OutboxMessage.objects.filter(status="cancelled")) == set(rows)
    found = program.get(f"/outbox/operations/{begun.json()['data']['id']}").json()["data"]
    assert (found["done"], found["outcomes"]) == (2, None)
    assert found["finished_at"]
    assert is_problem(program.post(f"/outbox/operations/{found['id']}/stop"), 409, "Conflict")


def test_a_question_holds_for_its_filter_and_for_no_more_than_it_said(program: Program, ops: Account) -> None:
    question = program.post("/outbox/bulk", CANCEL | {"dry_run": True}).json()["data"]["question"]
    other = CANCEL | {"filter": {}, "question": question}
    assert is_problem(program.post("/outbox/bulk", other), 422, "Validation")
    assert is_problem(program.post("/outbox/bulk", CANCEL | {"question": "forged"}), 422, "Validation")
    row = outbox_row(ops, subject="Offer")
    long_ago = timezone.now() - timedelta(hours=1)
    OutboxMessage.objects.filter(pk=row.pk).update(created_at=long_ago, updated_at=long_ago)
    assert is_problem(program.post("/outbox/bulk", CANCEL | {"question": question}), 409, "Conflict")
    assert is_problem(program.post("/outbox/bulk", CANCEL | {"filter": {"state": "lost"}}), 422, "Validation")


def test_a_token_for_some_accounts_acts_on_these_alone(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    chief = make_user("administrator")
    bound, free = Program(chief, accounts=[sales]), Program(chief)
    theirs, mine = outbox_row(ops, subject="Offer"), outbox_row(sales, subject="Offer")
    begun = bound.post("/outbox/bulk", CANCEL).json()["data"]
    assert begun["total"] == 1
    actions_bulk.run(begun["id"])  # by a worker, which knows the user and not the token
    theirs.refresh_from_db()
    mine.refresh_from_db()
    assert (theirs.status, mine.status) == ("pending", "cancelled")
    assert bound.get(f"/outbox/operations/{begun['id']}").status_code == 200
    of_all = free.post("/outbox/bulk", CANCEL).json()["data"]["id"]
    assert is_problem(bound.get(f"/outbox/operations/{of_all}"), 404, "NotFound")
    assert is_problem(bound.post(f"/outbox/operations/{of_all}/stop"), 404, "NotFound")
    sales.delete()
    assert bound.post("/outbox/bulk", CANCEL | {"dry_run": True}).json()["data"]["total"] == 0


def test_an_action_on_condition_is_refused_when_the_mail_changed(program: Program, ops: Account) -> None:
    row = outbox_row(ops)
    etag = program.get(f"/outbox/{row.pk}").headers["ETag"]
    OutboxMessage.objects.filter(pk=row.pk).update(retries=1)
    assert is_problem(program.post(f"/outbox/{row.pk}/cancel", **{"if-match": etag}), 412, "Changed")
    etag = program.get(f"/outbox/{row.pk}").headers["ETag"]
    assert program.post(f"/outbox/{row.pk}/cancel", **{"if-match": etag}).json()["data"]["status"] == "cancelled"


def test_a_mail_gets_another_time_and_what_is_past_means_now(program: Program, ops: Account) -> None:
    later = (timezone.now() + timedelta(days=1)).isoformat()
    sent = program.post("/send", mail(ops, send_at=later)).json()["data"]
    path = f"/outbox/{sent['outbox_id']}/reschedule"
    assert is_problem(program.post(path, {"send_at": "2500-01-01T00:00:00Z"}), 422, "Validation")
    assert is_problem(program.post(path, {"send_at": "2026-01-01T00:00:00"}), 422, "Validation")
    assert program.post(path, {"send_at": "2026-01-01T00:00:00Z"}).json()["data"]["next_attempt_at"] < later


def test_a_text_is_looked_for_as_far_as_the_page_looks(
    program: Program, ops: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visible_rows, "LOOKED_AT", 2)
    wanted = outbox_row(ops, subject="Needle")
    for _ in range(4):
        outbox_row(ops, subject="Hay")
    page, asked = {"items": [], "next": ""}, 0
    while not page["items"] and page["next"] is not None:
        before = f"&before={page['next']}" if page["next"] else ""
        page, asked = program.get(f"/outbox?q=Needle{before}").json()["data"], asked + 1
    assert ([each["id"] for each in page["items"]], asked) == ([wanted.pk], 3)


def test_an_address_is_put_on_the_list_and_taken_off(program: Program, ops: Account, sales: Account) -> None:
    put = program.post("/suppressed", {"account_id": ops.pk, "address": "Gone@Example.com", "words": "left"})
    assert put.status_code == 201
    row = put.json()["data"]
    assert (row["address"], row["reason"], row["words"]) == ("gone@example.com", "by_hand", "left")
    assert is_problem(program.post("/send", mail(ops, to=["gone@example.com"])), 422, "Validation")
    assert is_problem(program.post("/suppressed", {"account_id": ops.pk, "address": "none"}), 422, "Validation")
    program.post("/suppressed", {"account_id": sales.pk, "address": "other@example.com"})
    assert [each["id"] for each in program.get("/suppressed?q=GONE").json()["data"]["items"]] == [row["id"]]
    newest = program.get("/suppressed?limit=1").json()["data"]
    assert newest["items"][0]["address"] == "other@example.com"
    assert program.get(f"/suppressed?before={newest['next']}").json()["data"]["items"] == [row]
    whole = b"".join(program.get(f"/suppressed/csv?account={ops.pk}").streaming_content).decode("utf-8-sig")
    assert [line.split(",")[:3] for line in whole.splitlines()] == [
        ["account", "address", "reason"],
        [ops.email, "gone@example.com", "by_hand"],
    ]
    assert program.ask("delete", f"/suppressed/{row['id']}").status_code == 200
    assert not SuppressedAddress.objects.filter(account=ops).exists()
    for number in (1, 0):
        assert program.post("/suppressed/csv", {"csv": whole}).json()["data"] == {"new": number}
    wrong = whole + "nobody@example.com,a@example.com\r\n"
    assert is_problem(program.post("/suppressed/csv", {"csv": wrong}), 404, "NotFound")
    assert is_problem(program.post("/suppressed/csv", {"csv": whole + "no line"}), 422, "Validation")


def test_the_policy_is_changed_on_condition(program: Program) -> None:
    path, given = "/policy", {"max_size_bytes": 1000, "allowed_content_types": ["Text/Plain"]}
    etag = program.get(path).headers["ETag"]
    changed = program.ask("put", path, given, **{"if-match": etag})
    assert changed.json()["data"] == {"max_size_bytes": 1000, "allowed_content_types": ["text/plain"]}
    assert is_problem(program.ask("put", path, given, **{"if-match": etag}), 412, "Changed")
    assert is_problem(program.ask("put", path, given | {"allowed_content_types": ["no type"]}), 422, "Validation")
    assert is_problem(program.ask("put", path, given | {"allowed_content_types": []}), 422, "Validation")
    assert AttachmentPolicy.current().max_size_bytes == 1000


def test_all_sending_is_paused_and_only_the_pause_that_was_seen_is_ended(program: Program) -> None:
    paused = program.post("/sending/pause", {"reason": "a drill"}).json()["data"]
    assert (bool(paused["paused_at"]), paused["reason"]) == (True, "a drill")
    without_zone = {"paused_at": paused["paused_at"].removesuffix("Z")}
    assert is_problem(program.post("/sending/resume", without_zone), 422, "Validation")
    earlier = {"paused_at": "2026-01-01T00:00:00Z"}
    assert program.post("/sending/resume", earlier).json()["data"] == paused
    assert program.post("/sending/resume", {"paused_at": paused["paused_at"]}).json()["data"]["paused_at"] is None
    assert SendingSwitch.current().paused_at is None


@pytest.mark.parametrize("asked, status, part", [
    ("bytes=0-3", 206, slice(0, 4)),
    ("bytes=10-", 206, slice(10, None)),
    ("bytes=-5", 206, slice(-5, None)),
    ("bytes=0-999999999", 206, slice(None)),
    ("bytes=999999-", 416, None),
    ("bytes=-0", 416, None),
    ("bytes=5-4", 200, slice(None)),
    ("bytes=0-1,4-5", 200, slice(None)),
    ("bytes=x", 200, slice(None)),
    ("bytes=-", 200, slice(None)),
    ("lines=0-1", 200, slice(None)),
    ("bytes=" + "9" * 5000 + "-", 200, slice(None)),
])  # fmt: skip
def test_a_file_is_fetched_in_parts(
    program: Program, ops: Account, asked: str, status: int, part: slice | None
) -> None:
    raw = letter("Long", "All of it. " * 50)
    answered = program.get(f"/messages/{store(ops, raw).pk}/source", range=asked)
    assert answered.status_code == status
    if part is None:
        assert is_problem(answered, 416, "NoSuchRange")
        assert answered.headers["Content-Range"] == f"bytes */{len(raw)}"
        return
    assert answered.content == raw[part]
    assert answered.headers["Content-Length"] == str(len(raw[part]))
    assert answered.headers["Content-Type"] == "message/rfc822"
    start = range(len(raw))[part].start
    if status == 206:
        assert answered.headers["Content-Range"] == f"bytes {start}-{start + len(raw[part]) - 1}/{len(raw)}"


def test_the_parts_of_a_large_attachment_are_its_bytes(program: Program, ops: Account) -> None:
    content = bytes(range(256)) * 20_000  # streamed in pieces of a megabyte
    path = f"/messages/{store(ops, letter_with(content, 'large.bin')).pk}/attachments/0"
    whole = program.get(path)
    assert b"".join(whole.streaming_content) == content
    etag = whole.headers["ETag"]
    for start, stop in ((0, 10), (1_000_000, 3_500_000), (len(content) - 7, len(content))):
        part = program.get(path, **{"range": f"bytes={start}-{stop - 1}", "if-range": etag})
        assert (part.status_code, part.content) == (206, content[start:stop])
    other = program.get(path, **{"range": "bytes=0-9", "if-range": '"other"'})
    assert other.status_code == 200, "the file is another one by now"
    assert program.get(path, **{"range": "bytes=0-9", "if-none-match": etag}).status_code == 304


def test_a_written_mail_is_read_with_its_file(program: Program, ops: Account) -> None:
    row = with_file(ops)
    data = program.get(f"/outbox/{row.pk}").json()["data"]
    file = data["attachments"][0]
    assert (file["filename"], file["size"]) == ("report.pdf", 8)
    assert program.get(f"/outbox/{row.pk}/attachments/{file['position']}").content == b"%PDF-1.4"
    assert quote("report.pdf").encode() in program.get(f"/outbox/{row.pk}/source").content
    assert is_problem(program.get(f"/outbox/{row.pk}/attachments/9"), 404, "NotFound")
