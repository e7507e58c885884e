"""Reply to all and forward: whom it goes to, what it quotes, what it carries, and who may."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.mime import message as mime_message
from mailbox.models import Account, AccountGrant, AuditEntry, Message
from mailbox.storage import raw_store
from outbox import api
from outbox.compose import build as compose_build
from outbox.compose.replies import OriginalMessage, forward_subject, forwarded, quoted, reply_subject, reply_to_all
from outbox.models import AttachmentPolicy, OutboxMessage
from tests.rows import NOWHERE, letter, letter_with, store

pytestmark = [pytest.mark.pages, pytest.mark.django_db]
COMPOSE = "/outbox/compose/"


def of(**values: Any) -> OriginalMessage:
    given = {"subject": "Plan", "sender": "Ann <ann@x.example>", "reply_to": "", "recipients": "", "cc": "", "text": ""}
    return OriginalMessage(**(given | {"at": datetime(2026, 3, 1, 9, 30, tzinfo=UTC)} | values))


@pytest.mark.parametrize(
    ("values", "to", "cc"),
    [
        ({"recipients": "me@x.example, Bob <bob@x.example>"}, "Ann <ann@x.example>", "Bob <bob@x.example>"),
        ({"recipients": "ME@X.example", "cc": "bob@x.example"}, "Ann <ann@x.example>", "bob@x.example"),
        ({"reply_to": "desk@x.example", "recipients": "bob@x.example"}, "desk@x.example", "bob@x.example"),
        ({"reply_to": "list@x.example", "cc": "Ann@x.example, LIST@x.example"}, "list@x.example", "Ann@x.example"),
        ({"recipients": "bob@x.example, Bob <BOB@x.example>, carl@x.example"}, None, "bob@x.example, carl@x.example"),
        (
            {"sender": "me@x.example", "recipients": "bob@x.example", "cc": "c@x.example"},
            "bob@x.example",
            "c@x.example",
        ),
        ({"sender": "me@x.example", "reply_to": "me@x.example", "recipients": "me@x.example"}, "", ""),
        ({"recipients": '"Doe, Jane" <jane@x.example>, not an address, <>'}, None, '"Doe, Jane" <jane@x.example>'),
        ({"sender": "(no sender)", "recipients": "undisclosed-recipients:;"}, "", ""),
        ({"sender": "a@x.example\r\nBcc: evil@x.example"}, None, ""),
    ],
)
def test_a_reply_to_all_goes_to_everybody_once_and_never_to_us(values: dict[str, str], to: str | None, cc: str) -> None:
    everyone = reply_to_all(of(**values), ["me@x.example"])
    if to is not None:
        assert everyone.to == to
    assert everyone.cc == cc
    assert "\n" not in everyone.to + everyone.cc
    assert everyone.left_out == 0


def test_a_reply_to_two_hundred_goes_to_as_many_as_one_mail_may() -> None:
    many = ", ".join(f"n{number}@x.example" for number in range(200))
    everyone = reply_to_all(of(recipients=many), ["me@x.example"])
    assert everyone.cc.count("@") == 99
    assert everyone.left_out == 101


@pytest.mark.parametrize(
    ("given", "reply", "forward"),
    [
        ("Plan", "Re: Plan", "Fwd: Plan"),
        ("RE: Plan", "RE: Plan", "Fwd: RE: Plan"),
        ("Fwd: Plan", "Re: Fwd: Plan", "Fwd: Plan"),
        ("WG: FW: Plan", "Re: WG: FW: Plan", "Fwd: Plan"),
        ("Report", "Re: Report", "Fwd: Report"),
        ("", "Re:", "Fwd:"),
    ],
)
def test_a_prefix_stands_once(given: str, reply: str, forward: str) -> None:
    assert reply_subject(given) == reply
    assert forward_subject(given) == forward


@pytest.mark.parametrize("given", ["x" * 100_000, "Re: " * 50_000, "re [" + "1" * 9_000, "Fwd: x " + "\u0301" * 9_000])
def test_an_answer_to_an_endless_subject_has_one_that_may_be_sent(given: str) -> None:
    for subject in (reply_subject(given), forward_subject(given)):
        assert compose_build.checked_subject(subject) == subject
        assert len(subject) <= compose_build.MAX_SUBJECT


def test_a_quotation_marks_each_line_and_a_forwarded_text_none() -> None:
    given = of(text="one\n> two\n", recipients="bob@x.example")
    assert quoted(given).endswith("On 2026-03-01 at 09:30, Ann <ann@x.example> wrote:\n> one\n>> two\n")
    passed = forwarded(given)
    assert "From: Ann <ann@x.example>\nDate: 2026-03-01 09:30 UTC\nSubject: Plan\nTo: bob@x.example\n\none" in passed
    assert "Cc:" not in passed


def test_no_header_value_forges_another_line_of_a_forwarded_mail() -> None:
    assert "\nTo: forged" not in forwarded(of(subject="Plan\nTo: forged@x.example"))


def sent(client: Client, account: Account, query: str, **changes: Any) -> Any:
    typed = {"account": account.pk, "to": "carl@example.com", "subject": "Fwd: x", "body_text": "see below"}
    return client.post(COMPOSE + query, typed | {"idempotency_key": str(uuid.uuid4())} | changes)


def with_files(account: Account) -> Message:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.com", "ops@example.com", "Papers"
    mail["Message-ID"] = "<papers@example.com>"
    mail.set_content("See the files.")
    mail.add_attachment(b"%PDF-1", maintype="application", subtype="pdf", filename="one.pdf")
    mail.add_attachment(b"MZ", maintype="application", subtype="x-msdownload", filename="setup.exe")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="two.png")
    return store(account, mail.as_bytes())


def test_a_reply_to_all_is_prefilled_and_threaded(operator: Client, account: Account) -> None:
    parent = store(account, letter("Plan", "when?", To="ops@example.com, bob@example.com", Cc="carl@example.com"))
    form = operator.get(COMPOSE, {"reply_all": parent.pk}).context["form"]
    assert form.initial["to"] == "Ann <ann@example.com>"
    assert form.initial["cc"] == "bob@example.com, carl@example.com"
    assert "> when?" in form.initial["body_text"]
    sent(operator, account, f"?reply_all={parent.pk}", subject="Re: Plan")
    row = OutboxMessage.objects.get()
    assert row.in_reply_to == parent.message_id
    assert row.parent_id == parent.pk
    assert AuditEntry.objects.get().verb == "reply"


def test_a_forwarded_mail_carries_text_and_files_and_starts_a_new_thread(operator: Client, account: Account) -> None:
    message = with_files(account)
    response = operator.get(COMPOSE, {"forward": message.pk})
    form = response.context["form"]
    assert form.initial["subject"] == "Fwd: Papers"
    assert "See the files." in form.initial["body_text"]
    assert form.initial.get("to") is None
    assert [label for _, label in form.fields["kept"].choices] == ["one.pdf (6\xa0bytes)", "two.png (4\xa0bytes)"]
    assert "setup.exe</strong>: attachment content type is not allowed." in response.content.decode()
    positions = form.fields["kept"].initial
    assert sent(operator, account, f"?forward={message.pk}", kept=positions).status_code == 200
    left_out = [file.value for file in form.refused]
    assert sent(operator, account, f"?forward={message.pk}", kept=positions, without=left_out).status_code == 302
    row = OutboxMessage.objects.get()
    raw = raw_store.open_raw(row.mime_digest)
    assert [each.filename for each in mime_message.parse(raw).attachments] == ["one.pdf", "two.png"]
    assert mime_message.attachment_bytes(raw, 0) == b"%PDF-1"
    assert (row.in_reply_to, row.parent_id) == ("", None)
    entries = {(entry.verb, entry.target, entry.detail) for entry in AuditEntry.objects.all()}
    assert ("forward", f"message:{message.pk}", f"outbox:{row.pk}") in entries


@pytest.mark.parametrize(
    ("headers", "to"),
    [
        ({"From": "ops@example.com", "To": "Zoe <zoe@example.com>", "Cc": "carl@example.com"}, "Zoe <zoe@example.com>"),
        ({"From": "Customer <c@example.com>", "Reply_To": "OPS@example.com"}, "Customer <c@example.com>"),
        ({"From": "Ann <ann@example.com>", "Reply_To": "desk@example.com"}, "desk@example.com"),
    ],
)
@pytest.mark.parametrize("way", ["reply_to", "reply_all", "api"])
def test_an_answer_goes_to_whoever_is_not_ourselves(
    operator: Client, account: Account, headers: dict[str, str], to: str, way: str
) -> None:
    parent = store(account, letter("Order", "text", **headers))
    if way == "api":
        assert api.queue(account.pk, "", "", "An answer.", parent_pk=parent.pk).ok
        assert OutboxMessage.objects.get().to == to
    else:
        assert operator.get(COMPOSE, {way: parent.pk}).context["form"].initial["to"] == to


def test_a_forwarded_mail_takes_its_pictures_along_or_says_that_it_does_not(operator: Client, account: Account) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.com", "ops@example.com", "Pictures"
    mail["Message-ID"] = "<pictures@example.com>"
    mail.set_content("See the pictures.")
    mail.add_alternative('<p><img src="cid:1@x"><img src="cid:2@x"></p>', subtype="html")
    html = mail.get_payload()[1]  # type: ignore[index]
    html.add_related(b"\x89PNG", "image", "png", cid="<1@x>", filename="in.png", disposition="inline")  # type: ignore[union-attr]
    html.add_related(b"GIF89a", "image", "gif", cid="<2@x>", filename="out.gif", disposition="inline")  # type: ignore[union-attr]
    message = store(account, mail.as_bytes())
    response = operator.get(COMPOSE, {"forward": message.pk})
    form, page = response.context["form"], response.content.decode()
    assert [label.split(" ")[0] for _, label in form.fields["kept"].choices] == ["in.png"]
    assert "do not go along:" in page and "out.gif" in page
    kept = form.fields["kept"].initial
    assert sent(operator, account, f"?forward={message.pk}", kept=kept).status_code == 302
    assert [file.filename for file in OutboxMessage.objects.get().attachment_rows.all()] == ["in.png"]


def test_only_the_files_that_are_chosen_go_along(operator: Client, account: Account) -> None:
    message = with_files(account)
    sent(operator, account, f"?forward={message.pk}", kept=["2"], without=["1"])
    raw = raw_store.open_raw(OutboxMessage.objects.get().mime_digest)
    assert [each.filename for each in mime_message.parse(raw).attachments] == ["two.png"]


@pytest.mark.parametrize("kept", ["1", "7", "whole", "x"])
def test_a_file_that_is_not_offered_is_refused(operator: Client, account: Account, kept: str) -> None:
    response = sent(operator, account, f"?forward={with_files(account).pk}", kept=[kept])
    assert "kept" in response.context["form"].errors
    assert not OutboxMessage.objects.exists()


def test_a_removed_file_is_not_carried(operator: Client, account: Account) -> None:
    message = with_files(account)
    message.attachment_rows.filter(position=0).update(removed_at=message.received_at)
    assert "one.pdf" not in operator.get(COMPOSE, {"forward": message.pk}).content.decode()
    assert "kept" in sent(operator, account, f"?forward={message.pk}", kept=["0"]).context["form"].errors


def test_the_mail_itself_is_offered_as_a_file_where_the_policy_lets_it_out(operator: Client, account: Account) -> None:
    message = with_files(account)
    policy = AttachmentPolicy.current()
    policy.allowed_content_types = [*policy.allowed_content_types, "message/rfc822"]
    policy.save()
    form = operator.get(COMPOSE, {"forward": message.pk}).context["form"]
    assert "whole" not in form.fields["kept"].initial
    sent(operator, account, f"?forward={message.pk}", kept=["whole"], without=["1"])
    raw = raw_store.open_raw(OutboxMessage.objects.get().mime_digest)
    assert [each.filename for each in mime_message.parse(raw).attachments] == ["Papers.eml"]
    assert mime_message.attachment_bytes(raw, 0) == raw_store.open_raw(message.raw_digest)


def test_a_file_whose_bytes_were_lost_is_said_so_and_nothing_goes_out(operator: Client, account: Account) -> None:
    message = with_files(account)
    Message.objects.update(raw_digest="0" * 64)
    response = sent(operator, account, f"?forward={message.pk}", kept=["0"])
    assert "no longer stored here" in str(response.context["form"].errors["kept"])


@pytest.mark.parametrize("way", ["reply_all", "forward"])
def test_whoever_may_not_send_is_refused(
    client: Client, make_user: Callable[..., User], make_account: Callable[..., Account], account: Account, way: str
) -> None:
    message = store(account, letter_with(b"%PDF", "a.pdf"))
    query = f"?{way}={message.pk}"
    assert client.get(COMPOSE + query)["Location"].startswith(reverse("login"))
    elsewhere = make_user("")
    AccountGrant.objects.create(
        user=elsewhere, account=make_account("other@example.com", **NOWHERE), role="administrator"
    )
    for user, status in ((make_user("viewer"), 403), (elsewhere, 404), (make_user(""), 404)):
        client.force_login(user)
        assert client.get(COMPOSE + query).status_code == status
        assert sent(client, account, query).status_code == status
    assert not OutboxMessage.objects.exists()
    client.force_login(make_user("operator"))
    assert client.get(f"{COMPOSE}?{way}=999999").status_code == 404
