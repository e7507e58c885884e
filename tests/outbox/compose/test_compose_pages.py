"""Writing and answering in the browser: what is refused, what is kept, what is queued."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from pytest_django import Settings

from mailbox.mime import message as mime_message
from mailbox.models import Account, AccountGrant, Message
from mailbox.storage import raw_store
from outbox.models import AttachmentPolicy, Draft, OutboxMessage, SendingSwitch
from tests.rows import NOWHERE, letter, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
COMPOSE = "/outbox/compose/"


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", display_name="Operations", **NOWHERE)


@pytest.fixture
def parent(account: Account) -> Message:
    raw = letter("Order 7", "Where is it?\nKind regards", From="Ann <ann@example.com>", Reply_To="desk@example.com")
    return store(account, raw)


def typed(account: Account, **changes: Any) -> dict[str, Any]:
    return {
        "account": account.pk,
        "to": "Ann <ann@example.com>",
        "subject": "Invoice",
        "body_text": "Dear Ann",
        "idempotency_key": str(uuid.uuid4()),
        **changes,
    }


def pdf(name: str = "a.pdf", content: bytes = b"%PDF-1.4", content_type: str = "application/pdf") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type)


def test_a_mail_is_queued_at_once_and_its_page_shown(
    operator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        response = operator.post(COMPOSE, typed(account, cc="carol@example.com", bcc="dave@example.com"))
    row = OutboxMessage.objects.get()
    assert response["Location"] == reverse("outbox:detail", args=[row.pk])
    assert (row.status, row.cc, row.bcc) == ("pending", "carol@example.com", "dave@example.com")
    assert {each.address for each in row.recipients.all()} == {
        "ann@example.com",
        "carol@example.com",
        "dave@example.com",
    }
    assert b"dave@example.com" not in raw_store.open_raw(row.mime_digest)
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "outbox:list"])
def test_an_answer_leads_back_to_the_list_one_reads_in_and_nowhere_else(
    operator: Client, account: Account, parent: Message, elsewhere: str, settings: Settings
) -> None:
    settings.OUTBOX_UNDO_SECONDS = 10
    address, listed = f"{COMPOSE}?reply_to={parent.pk}", f"{reverse('mailbox:messages')}?account={account.pk}"
    response = operator.post(address, typed(account, next=listed))
    row = OutboxMessage.objects.get()
    assert response["Location"] == listed and row.parent == parent
    page = operator.get(listed).content.decode()
    assert f'action="{reverse("outbox:undo", args=[row.pk])}"' in page and "is queued." in page
    assert "is queued." not in operator.get(listed).content.decode()  # said once
    other = operator.post(address, typed(account, next=elsewhere))
    assert other["Location"] == reverse("outbox:detail", args=[row.pk + 1])


def test_several_attachments_are_frozen_byte_for_byte(operator: Client, account: Account) -> None:
    first, second = bytes(range(256)) * 5, b"plain words"
    files = [pdf("契約.pdf", first), pdf("notes.txt", second, "text/plain")]
    operator.post(COMPOSE, typed(account, attachments=files))
    raw = raw_store.open_raw(OutboxMessage.objects.get().mime_digest)
    assert [each.filename for each in mime_message.parse(raw).attachments] == ["契約.pdf", "notes.txt"]
    assert [mime_message.attachment_bytes(raw, position) for position in (0, 1)] == [first, second]


def test_a_double_click_makes_one_mail_and_a_changed_page_none_before_it_has_asked(
    operator: Client, account: Account
) -> None:
    fields = typed(account)
    first, second = operator.post(COMPOSE, fields), operator.post(COMPOSE, fields)
    assert first["Location"] == second["Location"]
    assert OutboxMessage.objects.count() == 1
    asked = operator.post(COMPOSE, fields | {"body_text": "Dear Ann, one thing more"})
    assert "was already made from this page" in asked.content.decode()
    assert OutboxMessage.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("to", "", "Name at least one recipient."),
        ("to", " , ", "Name at least one recipient."),
        ("to", "ann", "“ann” is no address"),
        ("to", "ann@example.com\r\nBcc: eve@example.com", "“Bcc: eve@example.com” has words beside the address"),
        ("cc", "carol@@example.com", "what stands before the @ is misspelled"),
        ("bcc", "dave@exa mple.com", "has words beside the address"),
        ("subject", "", "Give the mail a subject."),
        ("subject", "Hi\r\nBcc: eve@example.com", "must be one line"),
        ("account", "", "Choose the account to send from."),
        ("account", "999999", "You cannot send from this account."),
    ],
)
@pytest.mark.in_part(2)
def test_what_cannot_be_sent_is_refused_at_its_field_and_nothing_typed_is_lost(
    operator: Client, account: Account, field: str, value: str, sentence: str
) -> None:
    fields = typed(account, subject="Kept subject", body_text="Kept text", cc="kept@example.com") | {field: value}
    response = operator.post(COMPOSE, fields)
    assert response.status_code == 200
    assert sentence in " ".join(response.context["form"].errors[field])
    shown = response.content.decode()
    for name, kept in (("subject", "Kept subject"), ("body_text", "Kept text"), ("cc", "kept@example.com")):
        assert field == name or kept in shown
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (pdf("big.pdf", b"x" * 101), "big.pdf: attachment exceeds size limit"),
        (pdf("run.exe", b"MZ", "application/x-msdownload"), "run.exe: attachment content type is not allowed"),
    ],
)
def test_the_attachment_policy_is_told_before_and_after(
    operator: Client, account: Account, file: SimpleUploadedFile, sentence: str
) -> None:
    AttachmentPolicy.objects.create(pk=1, max_size_bytes=100, allowed_content_types=["application/pdf"])
    assert "of type application/pdf" in operator.get(COMPOSE).content.decode()
    file.seek(0)
    response = operator.post(COMPOSE, typed(account, attachments=[file]))
    assert sentence in " ".join(response.context["form"].errors["attachments"])
    assert not OutboxMessage.objects.exists()


def field_values(page: str, name: str) -> list[str]:
    return [html.unescape(value) for value in re.findall(rf'name="{name}" value="([^"]*)"', page)]


def test_a_mail_does_not_go_without_a_refused_file_before_somebody_leaves_it_out(
    operator: Client, account: Account
) -> None:
    """Without a script: the browser forgets the files, so that the next press of Send would go without all of them."""
    exe = pdf("run.exe", b"MZ", "application/x-msdownload")
    page = operator.post(COMPOSE, typed(account, attachments=[pdf("good.pdf"), exe])).content.decode()
    assert "run.exe" in page and "An administrator may allow more types" in page
    draft = Draft.objects.get()
    fields = typed(account, draft=draft.pk, version=draft.version, refused=field_values(page, "refused"))
    fields["kept"] = [draft.files.get().form_key]
    assert fields["refused"] and f'value="{fields["kept"][0]}"' in page
    again = operator.post(COMPOSE, fields)
    assert again.status_code == 200 and not OutboxMessage.objects.exists()
    assert "run.exe" in again.content.decode()

    assert operator.post(COMPOSE, {**fields, "without": fields["refused"]}).status_code == 302
    row = OutboxMessage.objects.get()
    assert [file.filename for file in row.attachment_rows.all()] == ["good.pdf"]


def test_a_draft_remembers_the_file_that_the_policy_refused(operator: Client, account: Account) -> None:
    exe = pdf("run.exe", b"MZ", "application/x-msdownload")
    operator.post(COMPOSE, typed(account, do="draft", attachments=[exe]))
    draft = Draft.objects.get()
    page = operator.get(COMPOSE, {"draft": draft.pk}).content.decode()
    assert "run.exe" in page and "required" in page.split("run.exe", 1)[1].split("</li>")[0]
    fields = typed(account, draft=draft.pk, version=draft.version, refused=field_values(page, "refused"))
    assert operator.post(f"{COMPOSE}?draft={draft.pk}", fields).status_code == 200
    assert not OutboxMessage.objects.exists()


def test_a_file_of_a_draft_that_the_policy_refuses_by_now_holds_the_mail_back(
    operator: Client, account: Account
) -> None:
    operator.post(COMPOSE, typed(account, do="draft", attachments=[pdf("old.pdf")]))
    draft = Draft.objects.get()
    policy = AttachmentPolicy.current()
    policy.allowed_content_types = ["image/png"]
    policy.save()
    fields = typed(account, draft=draft.pk, version=draft.version)
    assert operator.post(f"{COMPOSE}?draft={draft.pk}", fields).status_code == 200
    assert not OutboxMessage.objects.exists()
    fields["without"] = [draft.files.get().form_key]
    assert operator.post(f"{COMPOSE}?draft={draft.pk}", fields).status_code == 302


def test_a_reply_is_prefilled_and_threaded(operator: Client, account: Account, parent: Message) -> None:
    address = f"{COMPOSE}?reply_to={parent.pk}"
    form = operator.get(address).context["form"]
    assert form.initial["to"] == "desk@example.com"
    assert form.initial["subject"] == "Re: Order 7"
    assert "> Where is it?\n> Kind regards" in form.initial["body_text"]
    operator.post(address, typed(account, to="desk@example.com", subject="Re: Order 7"))
    row = OutboxMessage.objects.get()
    assert row.parent == parent
    assert row.in_reply_to == parent.message_id


@pytest.mark.parametrize("subject", ["Re: Order 7", "RE: Order 7", "re: Order 7"])
def test_a_reply_to_a_reply_has_one_prefix(operator: Client, account: Account, subject: str) -> None:
    answered = store(account, letter(subject))
    form = operator.get(f"{COMPOSE}?reply_to={answered.pk}").context["form"]
    assert form.initial["subject"] == subject


def test_a_reply_goes_out_only_from_the_account_that_has_the_message(
    operator: Client, account: Account, parent: Message, make_account: Callable[..., Account]
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    response = operator.post(f"{COMPOSE}?reply_to={parent.pk}", typed(other))
    assert "You cannot send from this account" in " ".join(response.context["form"].errors["account"])


def test_only_accounts_that_may_send_and_that_one_operates_are_offered(
    client: Client, make_user: Callable[..., User], account: Account, make_account: Callable[..., Account]
) -> None:
    seen, off = make_account("seen@example.com", **NOWHERE), make_account("off@example.com", **NOWHERE)
    Account.objects.filter(pk=off.pk).update(send_enabled=False)
    user = make_user("")
    for each, role in ((account, "operator"), (seen, "viewer"), (off, "operator")):
        AccountGrant.objects.create(user=user, account=each, role=role)
    client.force_login(user)
    offered = client.get(COMPOSE).context["form"].fields["account"].choices
    assert [value for value, _words in offered] == [str(account.pk)]


def test_a_drill_is_for_staff_only(client: Client, make_user: Callable[..., User], account: Account) -> None:
    user = make_user("operator")
    client.force_login(user)
    assert "failure_mode" not in client.get(f"{COMPOSE}?drill=1").content.decode()
    client.post(COMPOSE, typed(account, failure_mode="network"))
    assert OutboxMessage.objects.get().failure_mode == ""
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert "failure_mode" not in client.get(COMPOSE).content.decode()  # on a page of its own
    assert (
        f"{COMPOSE}?account={account.pk}&amp;drill=1"
        in client.get(f"/accounts/{account.pk}/test-mail/").content.decode()
    )
    assert "failure_mode" in client.get(f"{COMPOSE}?drill=1").content.decode()
    client.post(COMPOSE, typed(account, failure_mode="network"))
    assert OutboxMessage.objects.order_by("pk").last().failure_mode == "network"  # type: ignore[union-attr]


def test_a_pause_is_told_and_the_mail_is_kept(
    operator: Client, account: Account, make_user: Callable[..., User]
) -> None:
    SendingSwitch.objects.create(pk=1, paused_at="2026-01-01T00:00:00Z")
    assert operator.get(COMPOSE).content.decode().count("All sending is paused") == 1  # by the one banner
    operator.post(COMPOSE, typed(account))
    assert OutboxMessage.objects.get().status == "pending"


def test_where_there_is_no_account_yet_an_administrator_is_led_to_adding_one(
    client: Client, make_user: Callable[..., User]
) -> None:
    adding = f'href="{reverse("mailbox:account_add")}"'
    client.force_login(make_user("operator"))
    assert adding not in client.get(COMPOSE).content.decode()
    client.force_login(make_user("administrator"))
    assert adding in client.get(COMPOSE).content.decode()


def test_whoever_may_not_send_is_refused(
    client: Client, make_user: Callable[..., User], account: Account, parent: Message
) -> None:
    assert client.get(COMPOSE)["Location"].startswith(reverse("login"))
    assert client.post(COMPOSE, typed(account)).status_code == 401  # a page that keeps what was typed
    client.force_login(make_user("viewer"))
    assert "No account to send from" in client.get(COMPOSE).content.decode()
    client.post(COMPOSE, typed(account))
    assert client.get(f"{COMPOSE}?reply_to={parent.pk}").status_code == 403
    client.force_login(make_user(""))
    assert client.get(f"{COMPOSE}?reply_to={parent.pk}").status_code == 404
    client.post(COMPOSE, typed(account))
    assert not OutboxMessage.objects.exists()


def test_a_reply_to_a_message_that_is_not_there_is_no_page(operator: Client) -> None:
    for key in ("999999", "x", "-1"):
        assert operator.get(COMPOSE, {"reply_to": key}).status_code == 404
