"""Addresses that bounced for good or complained: refused with reason and date, unless a person says otherwise."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mailbox.models import Account, AccountGrant, AuditEntry, Message
from outbox import api
from outbox.bounces import matching
from outbox.bounces.report import ParsedReport, RecipientReport, Stamps
from outbox.compose import suppression
from outbox.models import OutboxMessage, OutboxRecipient, SuppressedAddress
from tests.api.calling import Program, is_problem, mail
from tests.rows import NOWHERE, attempt, letter, outbox_row, store

pytestmark = pytest.mark.django_db
SINCE = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def listed(account: Account) -> SuppressedAddress:
    given = {"reason": "bounced", "words": "550 5.1.1 No such user", "since": SINCE}
    return SuppressedAddress.objects.create(account=account, address="ann@example.com", **given)


def read(row: OutboxMessage, message: Message, action: str, code: str, *, is_proven: bool = True) -> None:
    recipient = RecipientReport("Ann@example.com", "", action, code, "no")
    matching._store(ParsedReport(Stamps(), "mx.example.com", (recipient,)), attempt(row), message, is_proven=is_proven)


def report(account: Account, action: str, code: str, *, is_proven: bool = True) -> OutboxMessage:
    row = outbox_row(account)
    read(row, store(account, letter()), action, code, is_proven=is_proven)
    return row


@pytest.mark.parametrize(
    ("action", "code", "is_proven", "reason"),
    [
        ("failed", "5.1.1", True, "bounced"),
        ("complaint", "", True, "complaint"),
        ("failed", "5.1.1", False, None),  # anybody may have written it
        ("complaint", "", False, None),
        ("failed", "5.2.2", True, None),  # a full mailbox
        ("failed", "5.7.1", True, None),  # of that mail
        ("failed", "5.0.0", True, None),  # nothing is known
        ("failed", "5.1.8", True, None),  # of the sender
        ("failed", "4.4.1", True, None),
        ("delayed", "5.1.1", True, None),
    ],
)
def test_only_a_proven_report_about_the_address_puts_it_on_the_list(
    action: str, code: str, is_proven: bool, reason: str | None, account: Account
) -> None:
    report(account, action, code, is_proven=is_proven)
    found = SuppressedAddress.objects.values_list("address", "reason")
    assert list(found) == ([("ann@example.com", reason)] if reason else [])


def test_of_a_mail_to_several_a_report_puts_nobody_on_the_list(account: Account) -> None:
    """Each of them knows the proof, and could write a bounce of another."""
    row = outbox_row(account)
    OutboxRecipient.objects.create(outbox=row, address="eve@example.com", kind="to")
    read(row, store(account, letter()), "failed", "5.1.1")
    assert row.reports.get().recipient is not None
    assert not SuppressedAddress.objects.exists()


def test_what_somebody_took_off_does_not_come_back_with_the_same_report(account: Account) -> None:
    row = report(account, "failed", "5.1.1")
    SuppressedAddress.objects.all().delete()
    known = row.reports.get()
    assert known.message is not None
    read(row, known.message, "failed", "5.1.1")
    assert not SuppressedAddress.objects.exists()


def test_a_mail_to_it_is_refused_with_reason_and_date_and_nothing_is_kept(
    account: Account, make_account: Callable[..., Account], listed: SuppressedAddress
) -> None:
    answer = api.queue(account.pk, "Bob <bob@example.com>", "Hi", "Hello", cc="Ann <ANN@Example.com>")
    assert answer.error is not None
    assert answer.error.code == "Validation"
    for words in ("ann@example.com", "bounced for good", "2026-03-01", "No such user"):
        assert words in answer.error.message
    assert not OutboxMessage.objects.exists()
    other = make_account("sales@example.com", **NOWHERE)
    assert api.queue(other.pk, "ann@example.com", "Hi", "Hello").ok


def test_a_person_may_send_it_anyway_which_is_recorded(account: Account, listed: SuppressedAddress) -> None:
    answer = api.queue(account.pk, "ann@example.com", "Hi", "Hello", send_suppressed=True)
    assert answer.ok
    assert "ann@example.com" in AuditEntry.objects.get(verb="send").detail
    # What was written before the address came onto the list is answered for, not refused.
    first = api.queue(account.pk, "ann@example.com", "Hi", "Hello", send_suppressed=True, idempotency_key="k")
    again = api.queue(account.pk, "ann@example.com", "Hi", "Hello", idempotency_key="k")
    assert first.data == again.data


@pytest.mark.pages
def test_the_api_refuses_it_as_the_pages_do(
    account: Account, listed: SuppressedAddress, make_user: Callable[..., User]
) -> None:
    program = Program(make_user("administrator"))
    assert is_problem(program.post("/send", mail(account)), 422, "Validation")
    whole = {"mail_from": account.email, "rcpt_to": ["ann@example.com"]}
    whole["base64"] = b64encode(letter(From=account.email)).decode()
    assert is_problem(program.post("/submit", whole), 422, "Validation")
    assert program.post("/send", mail(account, send_suppressed=True)).status_code == 202


@pytest.mark.pages
def test_the_page_of_writing_keeps_the_text_and_offers_to_send_anyway(
    client: Client, account: Account, listed: SuppressedAddress, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    given = {"account": account.pk, "to": "ann@example.com", "subject": "Hi", "body_text": "Dear Ann"}
    page = client.post("/outbox/compose/", given).content.decode()
    assert "ann@example.com is not written to" in page
    assert 'name="send_suppressed"' in page
    assert client.post("/outbox/compose/", given | {"send_suppressed": "on"}).status_code == 302
    assert OutboxMessage.objects.count() == 1


@pytest.mark.pages
def test_an_operator_adds_exports_imports_and_takes_off(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    client.post("/outbox/suppressed/add/", {"account": account.pk, "address": "=cmd@Example.com", "words": "=1+1"})
    exported = b"".join(client.get("/outbox/suppressed/?format=csv").streaming_content)  # type: ignore[attr-defined]
    assert b"'=cmd@example.com" in exported
    assert b",'=1+1" in exported
    row = SuppressedAddress.objects.get()
    client.post(f"/outbox/suppressed/{row.pk}/remove/")
    assert not SuppressedAddress.objects.exists()
    client.post("/outbox/suppressed/import/", {"file": SimpleUploadedFile("a.csv", exported)})
    back = SuppressedAddress.objects.get()
    assert (back.address, back.reason, back.words, back.since) == (row.address, row.reason, row.words, row.since)
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert verbs >= {"suppress", "unsuppress", "suppress_import"}


@pytest.mark.pages
@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"account,address\nops@example.com,nobody\n",
        b"account,address\nops@example.com,a@b.example\nother@example.com,a@b.example\n",
        b"account,address,since\nops@example.com,a@b.example,yesterday\n",
        b"account,address,reason\nops@example.com,a@b.example,whim\n",
        b"account,address,since\nops@example.com,a@b.example,0001-01-01T00:00:00+14:00\n",
        b"account,address,since\nops@example.com,a@b.example,9999-12-31T23:59:59-14:00\n",
    ],
)
def test_a_file_that_is_wrong_in_one_line_changes_nothing(
    content: bytes, client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    given: dict[str, Any] = {"file": SimpleUploadedFile("a.csv", content)}
    page = client.post("/outbox/suppressed/import/", given, follow=True).content.decode()
    assert "tone-broken" in page
    assert not SuppressedAddress.objects.exists()


@pytest.mark.pages
def test_nobody_sees_or_changes_the_list_of_another_account(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    other, user = make_account("sales@example.com", **NOWHERE), make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    theirs = SuppressedAddress.objects.create(account=other, address="a@b.example", reason="bounced")
    mine = SuppressedAddress.objects.create(account=account, address="c@d.example", reason="bounced")
    page = client.get("/outbox/suppressed/").content.decode()
    assert "c@d.example" in page
    assert "a@b.example" not in page
    assert client.post(f"/outbox/suppressed/{theirs.pk}/remove/").status_code == 404
    assert client.post(f"/outbox/suppressed/{mine.pk}/remove/").status_code == 403
    given = {"account": account.pk, "address": "e@f.example"}
    assert client.post("/outbox/suppressed/add/", given).status_code == 403
    assert SuppressedAddress.objects.count() == 2


def test_the_same_address_twice_is_one_row_with_its_first_reason(account: Account, listed: SuppressedAddress) -> None:
    given = [suppression.by_hand("Ann@example.com", "x"), suppression.by_hand("new@example.com", "x")]
    assert suppression.add(account, [*given, *given], None) == 1
    listed.refresh_from_db()
    assert listed.reason == "bounced"
