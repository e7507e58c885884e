"""Erasing a person: nothing of the address is left but what is named, and no promise is broken by it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from mailbox.completeness import signature
from mailbox.models import (
    Account,
    AuditEntry,
    Export,
    LegalHold,
    LetGo,
    Message,
    MessagePlace,
    MessageSearch,
    PersonSearch,
    RawMessage,
)
from mailbox.storage import raw_store, sweeping
from mailbox.storage.durable_files import DurableFileSystemStorage, raw_storage
from outbox.models import Draft, OutboxMessage, OutboxRecipient
from prx_email_site.personal_data import requests
from prx_email_site.personal_data.address import placeholder
from prx_email_site.personal_data.exporting import PersonSource
from tests.personal_data.everywhere import (
    EVE,
    NOW,
    OTHER,
    erased,
    fill,
    keys_by_table,
    searched,
    sent,
    where_it_stands,
    worked,
)
from tests.rows import letter, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("administrator")


def test_it_is_looked_for_in_every_table_and_nothing_is_changed(account: Account, user: User) -> None:
    fill(account, user)
    before = where_it_stands(EVE)
    search = searched(user=user)
    assert {label: sum(counts.values()) for label, counts in search.found.items()} == keys_by_table(EVE)
    assert where_it_stands(EVE) == before | {"mailbox.PersonSearch.address"}
    assert search.named["mailbox.Message"]["mentioned"] and search.named["outbox.SuppressedAddress"]["kept"]


def test_nothing_of_the_address_is_left_but_what_is_named(account: Account, user: User) -> None:
    fill(account, user)
    others, numbers = keys_by_table(OTHER), {model: model.objects.count() for model in (Message, OutboxMessage)}
    search = erased(user=user)
    left = {"outbox.SuppressedAddress.address", "mailbox.Message.body_text", "mailbox.Message.snippet"}
    assert where_it_stands(EVE) == left
    assert keys_by_table(OTHER) == others
    assert Message.objects.count() == numbers[Message] - 1 and OutboxMessage.objects.count() == numbers[OutboxMessage]
    assert search.state == "erased" and search.address == ""
    assert signature.fault_of(search.document) == ""
    report = search.document["report"]
    assert report["tables"]["mailbox.Message"] == {"removed": 1, "mentioned": 1}
    assert report["tables"]["outbox.OutboxMessage"] == {"emptied": 1} and report["confirmed_by"] == user.get_username()
    assert EVE not in json.dumps(search.document)
    verbs = ["person_looked_for", "person_erase", "person_erased"]
    entries = AuditEntry.objects.filter(verb__in=verbs).order_by("pk")
    assert [each.verb for each in entries] == verbs and all(search.digest in each.detail for each in entries)
    assert erased(mentions=True).found["mailbox.Message"] == {"removed": 1}
    assert Message.objects.count() == numbers[Message] - 2
    assert where_it_stands(EVE) == {"outbox.SuppressedAddress.address"}


def test_an_erased_message_is_not_fetched_again_and_its_bytes_go(account: Account, user: User) -> None:
    fill(account, user)
    gone = Message.objects.get(sender_address=EVE)
    places = set(MessagePlace.objects.filter(message=gone).values_list("folder", "uid"))
    erased()
    known = set(LetGo.objects.values_list("folder", "uid"))
    assert places <= known and any(uid == 70_000 + len(EVE) for _, uid in known)
    assert not MessageSearch.objects.filter(message=gone.pk).exists()
    RawMessage.objects.update(stored_at=NOW - timedelta(days=3))
    sweeping.sweep(NOW)
    assert not RawMessage.objects.filter(pk=gone.raw_digest).exists()
    for row in OutboxMessage.objects.all():
        raw_store.open_raw(row.mime_digest)  # what was emptied has bytes, too


def test_a_sent_mail_stays_so_that_it_is_sent_once_and_its_bounce_finds_it(account: Account) -> None:
    row = sent(
        account, provider_message_id="<p-1@example.com>", idempotency_key=f"welcome {EVE}", cc="Carl <c@x.example>"
    )
    OutboxRecipient.objects.create(outbox=row, kind="cc", address="c@x.example", status="accepted")
    tried = row.attempts.get()
    search = erased()
    row.refresh_from_db()
    assert (row.to, row.cc, row.subject, row.body_text) == (
        placeholder(EVE),
        "c@x.example",
        "(erased)",
        "The content of this mail was erased.",
    )
    assert (row.status, row.provider_message_id, row.idempotency_key) == ("sent", "<p-1@example.com>", f"welcome {EVE}")
    assert search.named["outbox.OutboxMessage"] == {"key": [row.pk]}
    assert b"erased" in raw_store.open_raw(row.mime_digest) and not row.attachment_rows.exists()
    again = row.attempts.get()
    assert (again.message_id, again.prx_attempt) == (tried.message_id, tried.prx_attempt)
    assert again.transcript[0]["command"] == f"RCPT TO:<{placeholder(EVE)}>"
    OutboxMessage.objects.filter(pk=row.pk).update(updated_at=NOW - timedelta(days=31))
    erased()
    row.refresh_from_db()
    assert row.idempotency_key == f"welcome {placeholder(EVE)}"


@pytest.mark.parametrize("state", ["pending", "sending", "failed", "uncertain"])
def test_a_mail_that_is_not_over_is_named_and_left_as_it_is(account: Account, state: str) -> None:
    fields: dict[str, Any] = {"status": state}
    if state == "uncertain":
        fields = {"status": "failed", "hold": "uncertain"}
    if state == "sending":
        fields |= {"claim_token": "t", "lease_expires_at": NOW + timedelta(minutes=5)}
    row = sent(account, sent_at=None, **fields)
    before = (
        OutboxMessage.objects.filter(pk=row.pk).values().get(),
        row.recipients.values().get(),
        row.attempts.values().get(),
    )
    search = erased()
    after = (
        OutboxMessage.objects.filter(pk=row.pk).values().get(),
        row.recipients.values().get(),
        row.attempts.values().get(),
    )
    assert before == after
    assert search.named["outbox.OutboxMessage"] == {"waits": [row.pk]}
    assert search.found["outbox.OutboxRecipient"] == search.found["outbox.DeliveryAttempt"] == {"waits": 1}


@pytest.mark.parametrize("by", ["account", "message", "other address"])
def test_what_a_legal_hold_keeps_stays_and_is_named(account: Account, by: str) -> None:
    held = store(account, letter("Held", From=EVE, To="carl@example.com"))
    row = sent(account, to=EVE, cc="carl@example.com", parent=held)
    names: dict[str, Any] = {"account": {"account": account}, "message": {"message": held}}
    LegalHold.objects.create(reason="Case 1", **names.get(by, {"address": "carl@example.com"}))
    search = erased()
    assert Message.objects.filter(pk=held.pk).exists()
    row.refresh_from_db()
    assert row.subject and EVE.upper() in row.to
    assert search.named["mailbox.Message"] == {"held": [held.pk]} == {"held": [held.pk]}
    assert search.named["outbox.OutboxMessage"] == {"held": [row.pk]}


def test_an_address_under_a_hold_or_of_an_account_is_refused(account: Account) -> None:
    store(account, letter("Held", From=EVE))
    search = searched()
    hold = LegalHold.objects.create(address=EVE, reason="Case 1")
    with pytest.raises(requests.RemovalRefused, match="legal hold"):
        requests.confirm(search, None, mentions=False, now=NOW)
    hold.delete()
    requests.confirm(search, None, mentions=False, now=NOW)
    LegalHold.objects.create(address=EVE, reason="Case 1")  # before a worker came to it
    assert worked(search).state == "refused" and Message.objects.exists()
    with pytest.raises(requests.RemovalRefused, match="account here"):
        requests.confirm(searched("ops@example.com"), None, mentions=False, now=NOW)
    with pytest.raises(requests.RemovalRefused, match="to the end"):
        requests.confirm(search, None, mentions=False, now=NOW)


@pytest.mark.parametrize("asked", ["eve@bücher.example", "eve@xn--bcher-kva.example"])
@pytest.mark.parametrize("other", ["eve@bücher.example", "eve@xn--bcher-kva.example"])
def test_an_international_domain_is_one_address_in_both_of_its_forms(account: Account, asked: str, other: str) -> None:
    """Received headers have it in Unicode, envelopes and other servers' headers in ASCII (RFC 5890)."""
    store(account, letter("Asked", From="ann@example.com", To="x@example.com"), recipients=f"Eve <{other}>")
    row = sent(account, to="eve@xn--bcher-kva.example")
    hold = LegalHold.objects.create(address=other, reason="Case 1")
    with pytest.raises(requests.RemovalRefused, match="legal hold"):
        requests.confirm(searched(asked), None, mentions=False, now=NOW)
    hold.delete()
    Account.objects.filter(pk=account.pk).update(email=other)
    with pytest.raises(requests.RemovalRefused, match="account here"):
        requests.confirm(searched(asked), None, mentions=False, now=NOW)
    Account.objects.filter(pk=account.pk).update(email="ops@example.com")
    erased(asked)
    assert not Message.objects.exists() and not row.recipients.filter(address__icontains="eve@").exists()
    PersonSearch.objects.filter(state="counted").delete()  # what was refused
    assert where_it_stands(asked) == where_it_stands(other) == set()


@pytest.mark.parametrize("written", ["ünal.öz@example.net", "Ünal.Öz@Example.net", "ÜNAL.ÖZ@EXAMPLE.NET"])
def test_letters_beyond_ascii_are_erased_in_any_case(account: Account, written: str) -> None:
    """SQLite's LIKE knows the case of ASCII letters only."""
    store(account, letter("Asked", From="ann@example.com", To="x@example.com"), recipients=f"Öz <{written}>")
    row = sent(account, to=written)
    erased("ünal.öz@example.net")
    assert not Message.objects.exists()
    assert not row.recipients.filter(address__iregex="öz").exists()
    PersonSearch.objects.all().delete()
    assert where_it_stands("ünal.öz@example.net") == set()


def test_no_transaction_is_open_while_the_raw_store_is_asked(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """On S3 an answer may take a minute, and no legal hold could be put in that time."""
    row, asked = sent(account), []

    class Watched(DurableFileSystemStorage):
        def size(self, name: str) -> int:
            asked.append(len(connection.savepoint_ids))
            return super().size(name)

        def _save(self, name: str, content: Any) -> str:
            asked.append(len(connection.savepoint_ids))
            return super()._save(name, content)

    location = raw_storage().location  # type: ignore[attr-defined]
    watched = Watched(location)
    monkeypatch.setattr("mailbox.storage.raw_store.raw_storage", lambda: watched)
    outside = len(connection.savepoint_ids)
    for _ in range(2):  # stored, and then found there
        erased()
        row.refresh_from_db()
        assert row.subject == "(erased)"
    assert asked and set(asked) == {outside}


def test_an_erasure_ends_all_exports_and_a_draft_that_mentions_loses_the_address(account: Account, user: User) -> None:
    fill(account, user)
    Export.objects.create(form="zip", user=user, asked_at=timezone.now() + timedelta(minutes=5))  # on another host
    search = erased()
    assert not Export.objects.exists() and search.document["report"]["exports_ended"] == 1
    assert Draft.objects.get(body_text__contains="erased.invalid").to == "ann@example.com"
    assert Draft.objects.count() == 3


def test_all_that_is_stored_of_a_person_comes_as_one_file(
    account: Account, user: User, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(account, user)
    path = tmp_path / "eve.zip"
    call_command("person", EVE, "--export", str(path))
    capsys.readouterr()
    archive = zipfile.ZipFile(path)
    received, outgoing = Message.objects.get(sender_address=EVE), OutboxMessage.objects.get(to__icontains=f"<{EVE}")
    assert archive.read(f"mails/{received.pk}.eml") == raw_store.open_raw(received.raw_digest)
    assert archive.read(f"outbox/{outgoing.pk}.eml") == raw_store.open_raw(outgoing.mime_digest)
    said = json.loads(archive.read("person.json"))
    assert said["tables"]["outbox.SavedReply"][0]["text"] == f"Write to {EVE}."
    assert set(said["tables"]) == set(keys_by_table(EVE))
    assert OTHER not in json.dumps(said["tables"]["mailbox.AuditEntry"])
    assert PersonSource(EVE).count() == 2
    RawMessage.objects.filter(pk=received.raw_digest).delete()
    with pytest.raises(SystemExit):
        call_command("person", EVE, "--export", str(path), "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["error"]["code"], answer["data"]["missing"]) == (False, "Storage", 1)


def test_the_command_counts_and_erases(account: Account, user: User, capsys: pytest.CaptureFixture[str]) -> None:
    fill(account, user)
    call_command("person", EVE, "--erase", "--dry-run", "--json")
    said = json.loads(capsys.readouterr().out)["data"]
    assert said["tables"]["mailbox.Message"]["removed"] == 1 and Message.objects.filter(sender_address=EVE).exists()
    assert not PersonSearch.objects.exists()
    call_command("person", EVE)
    assert "to be removed" in capsys.readouterr().out
    call_command("person", EVE, "--erase", "--json")
    said = json.loads(capsys.readouterr().out)["data"]
    assert said["state"] == "erased" and signature.fault_of(said["report"]) == ""
    for refused in (["nobody"], [EVE, "--export", "/nowhere/x.zip"], [EVE, "--export", "x.zip", "--erase"]):
        with pytest.raises(SystemExit):
            call_command("person", *refused)
    with pytest.raises(SystemExit):
        call_command("person", "ops@example.com", "--erase")
