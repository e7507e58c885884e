"""The HTTP API: envelope, failures, idempotency, ETags, and nothing of another account for any kind of token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.models import Token
from mailbox import features
from mailbox.models import Account, AuditEntry, Feature
from mailbox.search.index import index_messages
from outbox.models import OutboxMessage
from tests.api.calling import PROBLEM, V1, Program, is_problem, mail, ops, program, sales
from tests.rows import attempt, folder_of, letter, letter_with, outbox_row, store

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_without_a_token_nothing_is_answered_also_to_who_is_signed_in(
    client: Client, make_user: Callable[..., User], ops: Account
) -> None:
    client.force_login(make_user("administrator"))
    response = client.get(f"{V1}/accounts")
    assert is_problem(response, 401, "Unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    wrong = client.get(f"{V1}/accounts", headers={"authorization": "Bearer prx_wrong"})
    assert is_problem(wrong, 401, "Unauthorized")


def test_above_the_rate_it_says_when_to_come_back(
    make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    program = Program(make_user("viewer"), per_minute=1)
    assert program.get("/accounts").status_code == 200
    response = program.get("/accounts")
    assert is_problem(response, 429, "RateLimited")
    assert response.headers["Retry-After"] == "60"


def test_a_mail_is_written_down_once_for_a_key(program: Program, ops: Account) -> None:
    first = program.post("/send", mail(ops), **{"idempotency-key": "k1"})
    again = program.post("/send", mail(ops), **{"idempotency-key": "k1"})
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    answer = first.json()
    row = OutboxMessage.objects.get()
    assert (answer["ok"], answer["error"], answer["data"]["outbox_id"]) == (True, None, row.pk)
    assert answer["data"]["next_attempt_at_unix"] == int(row.next_attempt_at.timestamp())
    assert row.created_by is not None
    other = program.post("/send", mail(ops, subject="Another"), **{"idempotency-key": "k1"})
    assert is_problem(other, 422, "Validation")
    assert OutboxMessage.objects.count() == 1


def test_an_answer_goes_to_who_wrote(program: Program, ops: Account, sales: Account) -> None:
    message = store(ops, letter("Question", From="ann@example.com"))
    given = {"account_id": ops.pk, "message": message.pk, "body_text": "Yes"}
    answered = program.post("/reply", given)
    assert answered.status_code == 202, answered.content
    row = OutboxMessage.objects.get()
    assert (row.to, row.subject, row.parent) == ("ann@example.com", "Re: Question", message)
    assert is_problem(program.post("/reply", given | {"account_id": sales.pk}), 404, "NotFound")


@pytest.mark.parametrize(
    "path, body",
    [
        ("/send", {"to": ["not an address"]}),
        ("/send", {"subject": "a\nBcc: x@example.com"}),
        ("/send", {"subject": "a\0"}),
        ("/send", {"to": "ann@example.com"}),
        ("/send", {"account_id": 2**64}),
        ("/send", {"account_id": 0}),
        ("/send", {"send_at": "2026-12-24T18:00:00"}),
        ("/send", {"attachments": [{"filename": "a.pdf", "base64": "?"}]}),
    ],
)
def test_what_cannot_be_sent_is_refused_and_writes_nothing(
    program: Program, ops: Account, path: str, body: dict[str, Any]
) -> None:
    assert is_problem(program.post(path, mail(ops) | body), 422, "Validation")
    assert not OutboxMessage.objects.exists()


def test_what_is_no_json_is_malformed(program: Program) -> None:
    headers = {"authorization": f"Bearer {program.secret}"}
    response = program.client.post(f"{V1}/send", b"{", content_type="application/json", headers=headers)
    assert is_problem(response, 400, "Validation")


@pytest.mark.parametrize("path", ["/messages", "/outbox", "/messages/search?q=x"])
@pytest.mark.parametrize("limit", ["0", "501", "-1", "many", "9" * 5000])
def test_a_limit_is_one_to_five_hundred(program: Program, path: str, limit: str) -> None:
    assert is_problem(program.get(f"{path}{'&' if '?' in path else '?'}limit={limit}"), 422, "Validation")


@pytest.mark.parametrize(
    "path", ["/messages?before=x", "/messages?before=" + "9" * 40 + "-1", "/outbox?before=x", "/outbox?state=x"]
)
def test_what_no_list_has_is_refused(program: Program, path: str) -> None:
    assert is_problem(program.get(path), 422, "Validation")


def test_lists_go_on_at_their_cursor(program: Program, ops: Account) -> None:
    rows = [store(ops, letter(f"Mail {n}"), at=timezone.now() - timedelta(hours=n)).pk for n in range(3)]
    sent = [outbox_row(ops).pk for _ in range(3)]
    for path, expected in (("/messages?limit=2", rows), ("/outbox?limit=2", sent[::-1])):
        first = program.get(path).json()["data"]
        second = program.get(f"{path}&before={first['next']}").json()["data"]
        assert [each["id"] for each in first["items"] + second["items"]] == expected
        assert second["next"] is None


def test_what_lies_in_one_folder_is_listed(program: Program, ops: Account, sales: Account) -> None:
    for n in range(3):
        store(ops, letter(f"Mail {n}"), at=timezone.now() - timedelta(hours=n))
    filed = [store(ops, letter(f"Filed {n}"), at=timezone.now() - timedelta(hours=n), folder="Archive") for n in (0, 1)]
    archive = f"/messages?folder={folder_of(ops, 'Archive').pk}"
    first = program.get(f"{archive}&limit=1").json()["data"]
    second = program.get(f"{archive}&limit=1&before={first['next']}").json()["data"]
    assert [each["id"] for each in first["items"] + second["items"]] == [each.pk for each in filed]
    assert second["next"] is None
    assert program.get(f"{archive}&account={ops.pk}").status_code == 200
    assert is_problem(program.get(f"{archive}&account={sales.pk}"), 404, "NotFound")
    bound = Program(Token.objects.get().user, accounts=[sales])
    assert is_problem(bound.get(archive), 404, "NotFound")
    features.change(Feature.INBOX_READ, ops, features.NONE)
    assert is_problem(program.get(archive), 403, "FeatureDisabled")


def test_a_longer_page_takes_no_more_queries(program: Program, ops: Account, subtests: pytest.Subtests) -> None:
    """Else a page of 500 rows would be slower than the site's own page of them."""
    messages = [store(ops, letter(f"Mail {n}", To="ann@example.com", Cc="bob@example.com")) for n in range(6)]
    index_messages(messages)
    for message in messages:
        outbox_row(ops)
        AuditEntry.objects.create(account=ops, verb="sync_now", target=f"message:{message.pk}")
    folder = folder_of(ops).pk
    of_messages = ("/messages?", f"/messages?folder={folder}", "/messages/search?q=mail")
    for path in (*of_messages, "/outbox?", "/activity?", "/events?after=0"):
        with subtests.test(path):
            numbers = []
            for limit in (2, 2, 6):  # the first one numbers the events
                with CaptureQueriesContext(connection) as asked:
                    items = program.get(f"{path}&limit={limit}").json()["data"]["items"]
                assert len(items) == limit
                # Writes count requests of the token, several at once.
                numbers.append(sum(each["sql"].startswith("SELECT") for each in asked))
            assert numbers[1] == numbers[2]
            if path in of_messages:
                assert {(each["recipients"], each["cc"]) for each in items} == {("ann@example.com", "bob@example.com")}


def test_a_message_with_its_source_and_attachment(program: Program, ops: Account) -> None:
    raw = letter_with(b"%PDF-1.4", "report.pdf")
    message = store(ops, raw)
    data = program.get(f"/messages/{message.pk}").json()["data"]
    assert data["attachments"][0]["filename"] == "report.pdf"
    assert "See the file." in data["body_text"]
    assert program.get(f"/messages/{message.pk}/source").content == raw
    position = data["attachments"][0]["position"]
    assert program.get(f"/messages/{message.pk}/attachments/{position}").content == b"%PDF-1.4"
    assert is_problem(program.get(f"/messages/{message.pk}/attachments/77"), 404, "NotFound")


def test_what_did_not_change_is_not_answered_again(program: Program, ops: Account) -> None:
    row = outbox_row(ops)
    etag = program.get(f"/outbox/{row.pk}").headers["ETag"]
    assert program.get(f"/outbox/{row.pk}", **{"if-none-match": etag}).status_code == 304
    OutboxMessage.objects.filter(pk=row.pk).update(status="cancelled")
    assert program.get(f"/outbox/{row.pk}", **{"if-none-match": etag}).status_code == 200


def test_an_uncertain_mail_is_decided_about_by_its_attempt(program: Program, ops: Account) -> None:
    row = outbox_row(ops, status="failed", hold="uncertain")
    number = attempt(row, outcome="unknown", finished_at=timezone.now()).number
    assert is_problem(program.post(f"/outbox/{row.pk}/retry", {}), 422, "Validation")
    assert is_problem(program.post(f"/outbox/{row.pk}/send-again", {"attempt": number + 1}), 422, "Validation")
    assert is_problem(program.post(f"/outbox/{row.pk}/mark-as-sent", {}), 422, "Validation")
    assert program.post(f"/outbox/{row.pk}/mark-as-sent", {"attempt": number}).json()["data"]["status"] == "sent"


def test_what_a_program_changed_stands_in_the_activity_with_its_token(program: Program, ops: Account) -> None:
    row = outbox_row(ops)
    assert program.post(f"/outbox/{row.pk}/cancel").json()["data"]["status"] == "cancelled"
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", "target"))
    assert verbs[-2:] == [("cancel", f"outbox:{row.pk}"), ("use_token", f"token:{Token.objects.get().pk}")]
    assert is_problem(program.post(f"/outbox/{row.pk}/cancel"), 422, "Validation")


def test_sending_of_an_account_is_paused_and_resumed(program: Program, ops: Account) -> None:
    assert program.post(f"/accounts/{ops.pk}/pause").json()["data"]["sending_paused_at"]
    assert is_problem(program.post(f"/outbox/{outbox_row(ops).pk}/retry", {}), 403, "FeatureDisabled")
    assert program.post(f"/accounts/{ops.pk}/resume").json()["data"]["sending_paused_at"] is None
    assert program.post(f"/accounts/{ops.pk}/sync").status_code == 200


def test_lists_hold_nothing_of_another_account(make_user: Callable[..., User], ops: Account, sales: Account) -> None:
    for account in (ops, sales):
        store(account, letter(f"Of {account.email}"))
        outbox_row(account)
    program = Program(make_user("administrator"), accounts=[sales])
    assert [each["email"] for each in program.get("/accounts").json()["data"]["items"]] == [sales.email]
    for path in ("/messages", "/outbox", "/messages/search?q=is:unread"):
        answered = program.get(path)
        assert answered.status_code == 200, answered.content
        items = answered.json()["data"]["items"]
        assert {each["account_id"] for each in items} == {sales.pk}, path
    assert is_problem(program.get("/messages/search?q=larger:much"), 422, "Validation")


def test_the_schema_is_openapi_3_1_and_states_problems(client: Client) -> None:
    schema = client.get(f"{V1}/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    send = schema["paths"][f"{V1}/send"]["post"]
    assert list(send["responses"]["422"]["content"]) == [PROBLEM]
    assert any(each["name"].lower() == "idempotency-key" for each in send["parameters"])
