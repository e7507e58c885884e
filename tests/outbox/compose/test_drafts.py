"""Drafts: kept as typed, gone on with, never overwritten by another tab, discarded when asked; and known addresses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.errors import StorageError
from mailbox.models import Account, AccountGrant, Message
from outbox.compose import address_book, drafts
from outbox.models import Draft, DraftFile, KnownAddress, OutboxMessage
from tests.rows import NOWHERE, letter, outbox_row, store

pytestmark = pytest.mark.django_db
SAVE, COMPOSE = "/outbox/drafts/save/", "/outbox/compose/"


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("operator")


@pytest.fixture
def operator(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def typed(account: Account, **changes: Any) -> dict[str, Any]:
    base = {"account": account.pk, "to": "ann@", "cc": "", "bcc": "", "subject": "Half", "body_text": "Dear"}
    return {**base, "idempotency_key": str(uuid.uuid4()), "version": "1", "draft": "", **changes}


def pdf(name: str = "a.pdf", content_type: str = "application/pdf") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, b"%PDF-1.4", content_type)


def test_a_draft_is_kept_as_typed_and_the_page_goes_on_from_it(operator: Client, account: Account, user: User) -> None:
    answer = operator.post(SAVE, typed(account)).json()
    assert Draft.objects.get().user == user
    page = operator.get(COMPOSE, {"draft": answer["draft"]})
    initial = page.context["form"].initial
    assert (initial["to"], initial["subject"], initial["body_text"]) == ("ann@", "Half", "Dear")
    assert "Half" in operator.get(reverse("outbox:drafts")).content.decode()


def test_an_empty_page_makes_no_draft(operator: Client, account: Account) -> None:
    assert operator.post(SAVE, typed(account, to="", subject=" ", body_text="")).status_code == 204
    assert not Draft.objects.exists()


def test_two_first_saves_of_one_page_are_one_draft(operator: Client, account: Account) -> None:
    first = typed(account)
    operator.post(SAVE, first)
    answer = operator.post(SAVE, first | {"subject": "Half done"})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert Draft.objects.get().subject == "Half done"


def test_the_second_tab_overwrites_nothing_and_is_told(operator: Client, account: Account) -> None:
    page = typed(account)
    page["draft"] = operator.post(SAVE, page).json()["draft"]
    assert operator.post(SAVE, page | {"body_text": "first tab"}).json()["version"] == 2
    late = operator.post(SAVE, page | {"body_text": "second tab"})
    assert late.status_code == 409
    assert "changed in another tab" in late.json()["said"]
    assert Draft.objects.get().body_text == "first tab"


def test_without_a_script_the_second_tab_goes_on_as_a_draft_of_its_own(operator: Client, account: Account) -> None:
    page = typed(account)
    page["draft"] = operator.post(SAVE, page).json()["draft"]
    operator.post(SAVE, page | {"body_text": "first tab"})
    answer = operator.post(COMPOSE, page | {"body_text": "second tab", "do": "draft"})
    assert answer.status_code == 409
    html = answer.content.decode()
    assert "second tab" in html
    assert '<input type="hidden" name="draft" value="">' in html
    key = answer.context["form"]["idempotency_key"].value()
    own = page | {"draft": "", "body_text": "second tab", "do": "draft", "idempotency_key": key}
    operator.post(COMPOSE, own)
    assert {draft.body_text for draft in Draft.objects.all()} == {"first tab", "second tab"}


def test_the_button_keeps_an_unfinished_mail_and_sends_nothing(operator: Client, account: Account) -> None:
    answer = operator.post(COMPOSE, typed(account, do="draft"), follow=True)
    draft = Draft.objects.get()
    assert answer.redirect_chain[-1][0] == f"{COMPOSE}?draft={draft.pk}&key={draft.key}"
    assert not OutboxMessage.objects.exists()


def test_files_are_kept_with_the_draft_and_go_out_with_the_mail(operator: Client, account: Account) -> None:
    page = typed(account, to="ann@example.com")
    answer = operator.post(SAVE, page | {"attachments": [pdf()]}).json()
    key = answer["files"][0]["key"]
    sent = page | {"draft": answer["draft"], "version": answer["version"], "kept": [key]}
    operator.post(COMPOSE, sent)
    assert [file.filename for file in OutboxMessage.objects.get().attachment_rows.all()] == ["a.pdf"]
    assert not Draft.objects.exists()
    assert not DraftFile.objects.exists()


def test_a_file_that_is_no_longer_ticked_stays_out(operator: Client, account: Account) -> None:
    page = typed(account, to="ann@example.com")
    answer = operator.post(SAVE, page | {"attachments": [pdf()]}).json()
    operator.post(COMPOSE, page | {"draft": answer["draft"], "version": answer["version"]})
    assert not OutboxMessage.objects.get().attachment_rows.exists()


def test_what_the_policy_refuses_is_not_kept_but_remembered(operator: Client, account: Account) -> None:
    answer = operator.post(SAVE, typed(account) | {"attachments": [pdf("a.exe", "application/x-msdownload"), pdf()]})
    (refused,) = answer.json()["refused"]
    assert (refused["name"], refused["reason"]) == ("a.exe", "attachment content type is not allowed")
    draft = Draft.objects.get()
    assert draft.refused == [refused["value"]]
    assert [file.filename for file in draft.files.all()] == ["a.pdf"]


def test_sending_keeps_a_draft_that_another_tab_wrote_on(operator: Client, account: Account) -> None:
    page = typed(account, to="ann@example.com")
    page["draft"] = operator.post(SAVE, page).json()["draft"]
    operator.post(SAVE, page | {"body_text": "newer words"})
    operator.post(COMPOSE, page)
    assert OutboxMessage.objects.count() == 1
    assert Draft.objects.get().body_text == "newer words"


def test_a_draft_of_an_answer_is_an_answer_when_it_is_gone_on_with(operator: Client, account: Account) -> None:
    parent = store(account, letter("Order 7"))
    page = typed(account, to="ann@example.com", start=f"reply_to={parent.pk}")
    draft = operator.post(SAVE, page).json()
    url = f"{COMPOSE}?draft={draft['draft']}"
    assert operator.get(url).context["title"] == "Reply"
    operator.post(url, page | {"draft": draft["draft"], "version": draft["version"]})
    assert OutboxMessage.objects.get().in_reply_to == parent.message_id


def test_a_draft_outlives_the_message_it_answers(operator: Client, account: Account, user: User) -> None:
    draft = Draft.objects.create(user=user, account=account, start="reply_to=999999", subject="Re: gone")
    assert operator.get(COMPOSE, {"draft": draft.pk}).context["form"].initial["subject"] == "Re: gone"


def test_nobody_else_sees_changes_or_discards_a_draft(
    client: Client, account: Account, user: User, make_user: Callable[..., User]
) -> None:
    draft = Draft.objects.create(user=user, subject="Private words")
    client.force_login(make_user("administrator"))
    assert "Private words" not in client.get(reverse("outbox:drafts")).content.decode()
    assert client.get(COMPOSE, {"draft": draft.pk}).status_code == 404
    assert client.post(SAVE, typed(account, draft=draft.pk)).status_code == 409
    assert client.post(reverse("outbox:draft_discard", args=[draft.pk])).status_code == 404
    draft.refresh_from_db()
    assert draft.subject == "Private words"


def test_a_viewer_keeps_no_draft(client: Client, account: Account, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("viewer"))
    assert client.post(SAVE, typed(account)).status_code == 403
    assert client.get(SAVE).status_code == 405


def test_discarding_a_draft_asks_first(operator: Client, user: User) -> None:
    draft = Draft.objects.create(user=user, subject="Old")
    url = reverse("outbox:draft_discard", args=[draft.pk])
    assert '<input type="hidden" name="version" value="1">' in operator.get(url).content.decode()
    assert Draft.objects.exists()
    operator.post(url, {"version": "1"})
    assert not Draft.objects.exists()


@pytest.mark.parametrize("error", [StorageError("no space left on device"), DatabaseError("disk is full")])
def test_a_draft_on_a_full_disk_is_refused_in_words_and_its_form_stays(
    operator: Client, account: Account, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    # No disk of the tests is full for the database and the store alike; what they raise then is.
    monkeypatch.setattr(drafts, "_made", refuse)
    saved = operator.post(SAVE, typed(account, body_text="an hour of work"))
    assert saved.status_code == 422
    assert "could not be stored" in saved.json()["said"]
    page = operator.post(COMPOSE, typed(account, body_text="an hour of work") | {"do": "draft"})
    assert page.status_code == 200
    assert "could not be stored" in page.content.decode() and "an hour of work" in page.content.decode()


def test_a_draft_that_another_tab_has_gone_on_with_is_not_discarded(operator: Client, user: User) -> None:
    draft = Draft.objects.create(user=user, subject="Old")
    url = reverse("outbox:draft_discard", args=[draft.pk])
    Draft.objects.update(body_text="an hour of work", version=2)
    for answer in ({"version": "1"}, {}):
        assert "has changed since you were asked" in operator.post(url, answer, follow=True).content.decode()
    assert Draft.objects.get().body_text == "an hour of work"


@pytest.mark.parametrize("status", ["sent", "failed", "cancelled"])
def test_a_copy_of_what_is_over_can_be_edited(operator: Client, account: Account, status: str) -> None:
    row = outbox_row(account, "Invoice 7", status=status)
    url = f"{COMPOSE}?again={row.pk}"
    assert f'href="{url}"' in operator.get(reverse("outbox:detail", args=[row.pk])).content.decode()
    assert operator.get(url).context["form"].initial["subject"] == "Invoice 7"


# --- addresses


def gathered(hours: int = 1) -> int:
    return address_book.gather(timezone.now() + timedelta(hours=hours))


def offered(client: Client, typed: str) -> list[str]:
    return [each["address"] for each in client.get(reverse("outbox:addresses"), {"q": typed}).json()["addresses"]]


def test_addresses_of_received_and_written_mail_are_found_by_prefix(operator: Client, account: Account) -> None:
    store(account, letter(From="Zoë Müller <zoe@example.com>", To="desk@example.com"))
    outbox_row(account, to="Bob <bob@else.example>")
    assert gathered() == 2
    assert offered(operator, "zo") == ["zoe@example.com"]
    assert offered(operator, "ZOË") == ["zoe@example.com"]
    assert offered(operator, "bob@e") == ["bob@else.example"]
    assert offered(operator, "z") == []
    assert offered(operator, "%") == offered(operator, "__") == []
    assert gathered() == 0


def test_what_was_stored_a_moment_ago_waits_as_an_older_key_may_still_be_on_its_way(account: Account) -> None:
    store(account, letter())
    assert address_book.gather(timezone.now()) == 0
    assert gathered() == 1


def test_the_newest_of_one_address_is_offered_once(operator: Client, account: Account) -> None:
    now = timezone.now()
    store(account, letter(From="Ann <ann@example.com>"), at=now - timedelta(days=3))
    store(account, letter(From="Anna <anna@example.com>"), at=now - timedelta(days=1))
    store(account, letter(From="Ann New <ann@example.com>"), at=now)
    gathered()
    assert offered(operator, "ann") == ["ann@example.com", "anna@example.com"]
    assert KnownAddress.objects.get(address="ann@example.com").name == "Ann New"


def test_no_address_of_an_account_one_may_not_see_is_offered(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    person = make_user("")
    AccountGrant.objects.create(user=person, account=account, role="viewer")
    store(make_account("other@example.com", **NOWHERE), letter(From="secret@example.com"))
    assert Message.objects.exists()
    gathered()
    client.force_login(person)
    assert KnownAddress.objects.filter(address="secret@example.com").exists()
    assert offered(client, "secret") == []
