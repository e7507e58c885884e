"""Where reading an account's mail is switched off, nothing tells a word of what came there: no page, file or answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox import features
from mailbox.exports import requests
from mailbox.models import Account, AuditEntry, Export, Feature, LaterReading, LegalHold, Message, Quarantine
from mailbox.views.activity.activity import HEAD
from outbox.models import AddressCursor, KnownAddress
from prx_email_site.list_exports.lists import source_of
from tests.api.calling import Program, ops, program, sales
from tests.filled_pages import Rows, accounts, addresses, person, probes_ask_in_this_thread, rows
from tests.rows import folder_of, letter, outbox_row, store

__all__ = ["accounts", "ops", "person", "probes_ask_in_this_thread", "program", "rows", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
WORD = "Zanzibar"  # in each part of what came that somebody might read


def received(account: Account, user: User) -> Message:
    """A mail with the word in all its parts, one that could not be fetched, and what people did with them."""
    sender = f"{WORD} Smith <{WORD.lower()}@example.net>"
    message = store(account, letter(f"{WORD} plans", f"{WORD} today", From=sender))
    given: dict[str, Any] = {"account": account, "user": user}
    target = f"message:{message.pk}"
    AuditEntry.objects.create(verb="trust_sender", target=target, detail=f"{WORD.lower()}@example.net", **given)
    click = AuditEntry.objects.create(verb="team_marks", user=user)
    AuditEntry.objects.create(verb="remove_attachment", target=target, detail=f"{WORD}.pdf", part_of=click, **given)
    inbox = folder_of(account)
    Quarantine.objects.create(
        account=account, folder=inbox, uid=7_007, uidvalidity=1, error="E", subject=WORD, sender=sender
    )
    LaterReading.objects.create(message=message, account=account, purpose="report", error="It could not be read")
    LegalHold.objects.create(message=message, reason="Case 2", created_by=user)
    AddressCursor.current()
    KnownAddress.objects.create(
        account=account, address=f"{WORD.lower()}@example.net", name=WORD, name_key="zanzibar", last_at=timezone.now()
    )
    return message


def tells(response: Any) -> bool:
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return WORD.lower() in content.decode(errors="replace").lower()


@pytest.mark.parametrize("person", ["administrator"], indirect=True)
def test_no_page_tells_of_it(client: Client, rows: Rows, person: User, accounts: list[Account]) -> None:
    message = received(accounts[0], person)
    rows["message"] = message.pk
    client.force_login(person)
    urls = [*addresses(rows), *(f"{each}?format=csv" for each in ("/activity/", "/quarantine/", "/attachments/"))]
    before = [url for url in urls if tells(client.get(url))]
    told_somewhere = ("mailbox:messages", "mailbox:activity", "mailbox:quarantine", "retention")
    assert {reverse(name) for name in told_somewhere} <= set(before), "else this test would find nothing"
    features.change(Feature.INBOX_READ, accounts[0], features.NONE)
    assert [url for url in urls if tells(client.get(url))] == []


def test_no_answer_tells_of_it(ops: Account, sales: Account, program: Program) -> None:
    received(ops, program.user)
    row = Quarantine.objects.get()
    asked = ("/activity", f"/activity?account={ops.pk}", "/quarantine", "/messages", "/accounts")
    assert [tells(program.get(path)) for path in asked] == [True, True, True, True, False]
    features.change(Feature.INBOX_READ, ops, features.NONE)
    assert [path for path in asked if tells(program.get(path))] == []
    answer = program.post(f"/quarantine/{row.pk}/fetch")
    assert answer.status_code == 202 and answer.json()["data"]["uid"] == 7_007 and not tells(answer)


def test_neither_is_it_found_by_its_words(ops: Account, sales: Account, program: Program) -> None:
    received(ops, program.user)
    written = outbox_row(ops, f"About {WORD}")
    AuditEntry.objects.create(verb="send", target=f"outbox:{written.pk}", account=ops, user=program.user)

    def found() -> set[str]:
        return {each["verb"] for each in program.get(f"/activity?q={WORD}").json()["data"]["items"]}

    assert found() == {"trust_sender", "team_marks", "send"}
    features.change(Feature.INBOX_READ, ops, features.NONE)
    assert found() == {"send"}, "what was written here is no received mail"


def test_addresses_of_its_senders_are_not_offered(ops: Account, client: Client, make_user: Callable[..., User]) -> None:
    user = make_user("operator")
    received(ops, user)
    client.force_login(user)
    asked = reverse("outbox:addresses") + f"?q={WORD[:4]}"
    assert tells(client.get(asked))
    features.change(Feature.INBOX_READ, ops, features.NONE)
    assert not tells(client.get(asked))


def test_files_that_workers_make_and_have_made(ops: Account, make_user: Callable[..., User]) -> None:
    user = make_user("administrator")
    received(ops, user)
    lists = [Export(what="list", form="csv", query=f"list={name}", user=user) for name in ("activity", "quarantine")]

    def lines(export: Export, reader: User) -> list[list[str]]:
        return [[str(cell) for cell in line] for line in source_of(export, reader).read(None).lines]

    assert all(WORD in str(lines(each, user)) for each in lists)
    features.change(Feature.INBOX_READ, ops, features.NONE)
    user = User.objects.get(pk=user.pk)
    found = [lines(each, user) for each in lists]
    assert all(found) and WORD.lower() not in str(found).lower()
    assert {len(line) for line in found[0]} == {len(HEAD)}
    for what, query, may in (("search", "", False), ("list", "list=messages", False), ("list", "list=outbox", True)):
        export = Export(what=what, form="zip", query=query, user=user, accounts=[ops.pk])
        assert requests.may_read(user, export) is may, (what, query)
