"""Feature flags: what is off is refused with FeatureDisabled wherever it is asked for, and pages say so."""

from __future__ import annotations

import itertools
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from api.submission import acceptance
from mailbox import features
from mailbox.models import Account, AccountGrant, AuditEntry, Feature, FeatureSetting
from outbox import api
from outbox.actions import estimate
from outbox.actions.filters import OutboxFilters
from outbox.compose.submitted_mail import Submitted
from outbox.models import OutboxMessage
from tests.api.calling import Program, is_problem, mail, ops, program, sales
from tests.commands import Run, run
from tests.rows import letter_with, outbox_row, store

__all__ = ["ops", "program", "run", "sales"]
pytestmark = pytest.mark.django_db
READ, SEARCH, SEND, REPLY, RETRY = Feature


def off(feature: Feature, account: Account | None = None) -> None:
    features.change(feature, account, features.NONE)


def test_every_feature_is_on_until_it_is_set(ops: Account) -> None:
    assert features.Rollouts.read().has(ops.pk) == {
        *("inbox_read", "inbox_search", "email_send", "email_reply", "outbox_retry"),
    }
    assert features.those_off(*Feature) == set()


def test_a_share_is_of_the_same_accounts_each_time_and_grows_by_adding_some() -> None:
    def having(percent: int, feature: Feature = SEND) -> set[int]:
        return {pk for pk in range(2_000) if features.Rollout(feature, percent).is_on(pk)}

    shares = [having(percent) for percent in (0, 10, 50, 99, 100)]
    assert all(less < more for less, more in itertools.pairwise(shares))
    assert (shares[0], len(shares[-1])) == (set(), 2_000)
    assert 150 < len(shares[1]) < 250
    assert having(10) != having(10, REPLY)  # not the same accounts first
    assert [features.bucket_of("email_send", pk) for pk in (1, 2, 3)] == PLACES  # stays as it is for ever


PLACES = [80, 97, 78]


def test_an_account_that_is_set_by_itself_has_it_whatever_the_share(ops: Account, sales: Account) -> None:
    off(SEND)
    features.change(SEND, ops, features.ALL)
    assert features.those_off(SEND) == {sales.pk}
    assert features.those_off(SEND, among=[ops.pk]) == set()
    assert features.change(SEND, ops, None) is True
    assert features.change(SEND, ops, None) is False
    assert features.those_off(SEND) == {ops.pk, sales.pk}


@pytest.mark.parametrize(("percent", "of_account"), [(101, False), (50, True)])
def test_a_share_that_cannot_be_is_refused_by_the_database_too(ops: Account, percent: int, of_account: bool) -> None:
    account = ops if of_account else None
    with pytest.raises(ValueError):
        features.change(SEND, account, percent)
    with pytest.raises(IntegrityError), transaction.atomic():
        FeatureSetting.objects.create(feature=SEND, account=account, percent=percent)


def code(response: api.ApiResponse) -> str:
    return response.error.code if response.error else ""


def test_a_new_mail_an_answer_and_a_retry_are_each_refused_by_their_own_flag(ops: Account) -> None:
    message, row = store(ops, letter_with(b"%PDF", "a.pdf")), outbox_row(ops, status="failed", hold="permanent")
    doubt = outbox_row(ops, status="failed", hold="uncertain")

    def answers() -> list[str]:
        return [
            code(api.queue(ops.pk, "ann@example.com", "Hi", "Dear Ann")),
            code(api.queue(ops.pk, "", "", "Yes", parent_pk=message.pk)),
            code(api.request_retry(row.pk, user=None)),
            code(api.send_again(doubt.pk, 0, user=None)),
        ]

    refused = "FeatureDisabled"
    for feature, expected in (
        (SEND, [refused, "", "", ""]),
        (REPLY, ["", refused, "", ""]),
        (RETRY, ["", "", refused, refused]),
    ):
        off(feature, ops)
        with transaction.atomic():
            assert answers() == expected, feature
            transaction.set_rollback(True)
        features.change(feature, ops, None)
    assert code(api.mark_as_sent(doubt.pk, 0, user=None)) == ""  # no retry, and never refused as one


def test_a_bulk_retry_counts_the_rows_of_such_accounts_as_left_alone(
    ops: Account, sales: Account, make_user: Callable[..., User]
) -> None:
    for account in (ops, sales):
        outbox_row(account, status="failed", hold="permanent")
    off(RETRY, ops)
    rows, known = estimate.matching_rows(OutboxFilters(), make_user(), now()), features.Rollouts.read()
    found = estimate.estimate(rows, "retry", None, known)
    assert (found.will, dict(found.skipped)) == (1, {estimate.RETRY_OFF: 1})
    assert (
        estimate.estimate(
            estimate.matching_rows(OutboxFilters(), make_user(), now()), "cancel", None, features.Rollouts.read()
        ).will
        == 2
    )


def test_the_api_refuses_with_403_and_the_code(ops: Account, sales: Account, program: Program) -> None:
    message, row = store(ops, letter_with(b"%PDF", "a.pdf")), outbox_row(ops, status="failed", hold="permanent")
    other = store(sales, letter_with(b"%PDF", "b.pdf"))
    for feature in Feature:
        off(feature, ops)
    doubt = outbox_row(ops, status="failed", hold="uncertain")
    reply = {"account_id": ops.pk, "message": message.pk, "body_text": "Yes"}
    whole = b"From: ops@example.com\r\nMessage-ID: <a@example.com>\r\n\r\nDear Ann\r\n"
    submitted = {"mail_from": ops.email, "rcpt_to": ["ann@example.com"], "base64": b64encode(whole).decode()}
    for response in (
        program.post("/send", mail(ops)),
        program.post("/reply", reply),
        program.post("/submit", submitted),
        program.post(f"/outbox/{row.pk}/retry", {}),
        program.post(f"/outbox/{doubt.pk}/send-again", {"attempt": 0}),
        program.post(f"/messages/{message.pk}/fetch", {}),
        program.ask("put", f"/messages/{message.pk}/team", {"done": True}),
        program.get(f"/messages?account={ops.pk}"),
        program.get(f"/messages/{message.pk}"),
        program.get(f"/messages/{message.pk}/source"),
        program.get(f"/messages/{message.pk}/attachments/0"),
        program.get(f"/messages/{message.pk}/team"),
        program.ask("delete", f"/messages/{message.pk}/attachments/0"),
    ):
        assert is_problem(response, 403, "FeatureDisabled")
        assert "ops@example.com" in response.json()["detail"]
    for path in ("/messages", "/messages/search?q=is:unread"):
        assert [each["id"] for each in program.get(path).json()["data"]["items"]] == [other.pk], path
    off(SEARCH)
    assert is_problem(program.get("/messages/search?q=Hello"), 403, "FeatureDisabled")
    off(READ)
    assert is_problem(program.get("/messages"), 403, "FeatureDisabled")


def test_submission_refuses_at_the_end_of_the_mail(
    ops: Account, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "close_old_connections", lambda: None)  # this test's transaction is in it
    signed_in = acceptance.sign_in(ops.email, program.secret, "127.0.0.1")

    def answer(subject: str) -> str:
        mail = f"From: {ops.email}\r\nTo: ann@example.com\r\nSubject: {subject}\r\n\r\nDear Ann\r\n"
        return acceptance.accept(signed_in, Submitted(mail.encode(), ("ann@example.com",)))

    assert answer("First").startswith("250 2.0.0 Accepted as outbox ")
    off(SEND, ops)
    assert answer("Second").startswith("550 5.7.1 Writing new mail is switched off for ops@example")
    assert list(OutboxMessage.objects.values_list("subject", flat=True)) == ["First"]


def test_commands_refuse_with_the_code(ops: Account, run: Run) -> None:
    for feature in Feature:
        off(feature)
    row = outbox_row(ops, status="failed", hold="permanent")
    message = store(ops, letter_with(b"%PDF", "a.pdf"))
    for arguments in (
        ("messages",),
        ("messages", "--account", ops.email),
        ("search", "Hello"),
        ("send", ops.email, "--to", "ann@example.com", "--subject", "Hi", "--body", "Dear Ann"),
        ("reply", ops.email, message.message_id, "--body", "Yes"),
        ("retry", str(row.pk)),
    ):
        status, answer = run(*arguments)
        assert (status, answer["error"]["code"]) == (1, "FeatureDisabled"), arguments


def test_the_command_sets_and_shows_them(ops: Account, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("feature", "email_send", "25%")[1]["data"][0] == {
        "feature": "email_send",
        "percent": 25,
        "accounts": {},
    }
    assert run("feature", "email_send", "off", "--account", ops.email)[1]["data"][0]["on"] is False
    call_command("feature")
    assert "email_send     25 %, ops@example.com off\n" in capsys.readouterr().out
    assert run("feature", "email_send", "default", "--account", ops.email)[1]["data"][0]["accounts"] == {}
    details = list(AuditEntry.objects.filter(verb="edit_feature").order_by("pk").values_list("detail", flat=True))
    assert details == [
        "email_send, all accounts: 25 %",
        "email_send, ops@example.com: off",
        "email_send, ops@example.com: as set for all",
    ]
    for arguments in (
        ("email_sned", "on"),
        ("email_send", "101%"),
        ("email_send", "²"),
        ("email_send", "30%", "--account", ops.email),
    ):
        assert run("feature", *arguments)[0] == 1, arguments


def test_a_program_that_administers_sets_them(ops: Account, program: Program) -> None:
    at = f"/features/inbox_read/accounts/{ops.pk}"
    assert program.ask("put", "/features/inbox_read", {"percent": 0}).json()["data"]["percent"] == 0
    answer = program.ask("put", at, {"on": True}).json()["data"]
    assert answer == {"feature": "inbox_read", "percent": 0, "on": [ops.pk], "off": []}
    assert answer in program.get("/features").json()["data"]
    tag = program.get("/features/inbox_read").headers["ETag"]
    assert program.ask("put", at, {"on": None}, **{"If-Match": tag}).json()["data"]["on"] == []
    assert is_problem(program.ask("put", at, {"on": False}, **{"If-Match": tag}), 412, "Changed")
    assert is_problem(program.ask("put", "/features/inbox_reed", {"percent": 0}), 422, "Validation")


@pytest.mark.pages
def test_pages_leave_out_refuse_and_say_what_is_off(
    ops: Account, sales: Account, client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    message, other = (store(each, letter_with(b"%PDF", f"{each.email}.pdf")) for each in (ops, sales))
    row = outbox_row(ops, status="failed", hold="permanent")
    for feature in (READ, REPLY, RETRY, SEND):
        off(feature, ops)

    def page(name: str, *args: Any, query: str = "") -> str:
        return client.get(reverse(name, args=args) + query).content.decode()

    for listed in (page("mailbox:messages"), page("mailbox:search", query="?q=is:unread"), page("outbox:attachments")):
        assert "The mail of 1 account is left out" in listed
        assert f"/messages/{other.pk}/" in listed and f"/messages/{message.pk}/" not in listed
    for name in ("message", "message_eml", "message_html", "message_print"):
        response = client.get(reverse(f"mailbox:{name}", args=[message.pk]))
        assert response.status_code == 403
        assert "Reading received mail is switched off for ops@example.com." in response.content.decode()
    assert client.get(reverse("mailbox:messages"), {"account": ops.pk}).status_code == 403
    assert client.get(reverse("mailbox:messages_new"), {"account": ops.pk}).status_code == 403
    detail = page("outbox:detail", row.pk)
    assert "Retrying mail by hand is switched off for ops@example.com." in detail
    assert reverse("outbox:retry", args=[row.pk]) not in detail + page("outbox:list")
    assert reverse("outbox:cancel", args=[row.pk]) in detail
    assert "ops@example.com" not in page("outbox:compose")
    features.change(READ, ops, None)
    shown = page("mailbox:message", message.pk)
    assert "Answering mail is switched off for ops@example.com." in shown
    assert "reply_to=" not in shown and "forward=" not in shown
    assert "Answering mail is switched off for ops@example.com." in page(
        "outbox:compose", query=f"?reply_to={message.pk}"
    )
    off(SEND)
    assert "Writing new mail is switched off for every account here." in page("outbox:compose")


@pytest.mark.pages
def test_an_administrator_of_all_accounts_sets_them_on_a_page(
    ops: Account, client: Client, make_user: Callable[..., User]
) -> None:
    user, at = make_user("administrator"), reverse("mailbox:features")
    client.force_login(user)
    assert client.post(at, {"feature": "email_send", "percent": "30"}).status_code == 302
    one = {"feature": "inbox_read", "account": "OPS@example.com", "state": "off"}
    assert client.post(at, one).status_code == 302
    assert list(FeatureSetting.objects.order_by("pk").values_list("feature", "account", "percent")) == [
        ("email_send", None, 30),
        ("inbox_read", ops.pk, 0),
    ]
    entry = AuditEntry.objects.filter(verb="edit_feature").order_by("pk")[1]
    assert (entry.user, entry.account, entry.detail) == (user, ops, "inbox_read, ops@example.com: off")
    for bad in (
        {"feature": "email_send", "percent": "101"},
        {"feature": "?", "percent": "1"},
        one | {"account": "nobody@example.com"},
        one | {"state": "30"},
    ):
        assert client.post(at, bad).status_code == 422, bad
    assert FeatureSetting.objects.count() == 2
    assert client.post(at, one | {"state": "share"}).status_code == 302
    assert FeatureSetting.objects.count() == 1
    of_one = make_user("")
    AccountGrant.objects.create(user=of_one, account=ops, role="administrator")
    client.force_login(of_one)
    assert (client.get(at).status_code, client.post(at, one).status_code) == (403, 403)
    assert FeatureSetting.objects.count() == 1
