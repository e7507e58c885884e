"""FrozenMessage mails: what is refused, what others read, and threading of answers."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest

from outbox.compose import build as compose_build
from outbox.compose.addresses import Address
from outbox.compose.attachments import AttachmentContent
from outbox.compose.build import FrozenMessage, RepliedMessage, Request
from outbox.errors import ValidationFailed

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ME = Address("Ann", "ann@example.com")


def freeze(**changes: Any) -> FrozenMessage:
    sender, files = changes.pop("sender", ME), changes.pop("files", [])
    request = Request(**({"to": "bob@example.com", "subject": "Hello", "body_text": "A text."} | changes))
    return compose_build.freeze(request, sender, files, now=NOW)


def read(frozen: FrozenMessage) -> EmailMessage:
    message = email.message_from_bytes(frozen.mime, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationFailed) as refused:
        freeze(**changes)
    return str(refused.value)


BREAKS = ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "a\x00b", "a\x01b", "a\ud800b"]


@pytest.mark.parametrize("text", BREAKS)
def test_what_would_break_a_header_is_refused(text: str) -> None:
    assert refusal(subject=text)
    for field in ("to", "cc", "bcc"):
        assert refusal(**{field: f'"{text}" <bob@example.com>'})


@pytest.mark.parametrize(
    "address",
    [
        "bob", "bob@", "@example.com", "bob@@example.com", "bob example.com", "bob@exa mple.com", "<bob@example.com",
        "bob@-x.com", "bob@x..com", "bob@x.com>", "bob@x.com, ,, nobody", "a@b@c.com",
        "x" * 250 + "@example.com", "bob@" + "x" * 64 + ".com", "bob@" + "x." * 130 + "com", "Friends: bob",
    ],
)  # fmt: skip
def test_a_malformed_address_is_refused_with_how_to_write_it(address: str) -> None:
    assert "address" in refusal(to=address)


@pytest.mark.parametrize("empty", ["", " ", " , ", [], ["", " "]])
def test_a_mail_needs_a_recipient(empty: Any) -> None:
    assert "recipient" in refusal(to=empty)


@pytest.mark.parametrize("blank", ["", "  \t"])
def test_a_mail_needs_a_subject_and_a_text(blank: str) -> None:
    assert "subject" in refusal(subject=blank)
    assert "body is empty" in refusal(body_text=blank)


def test_too_many_recipients_are_refused() -> None:
    assert len(freeze(to=[f"u{n}@example.com" for n in range(100)]).recipients) == 100
    assert "at most 100" in refusal(to=[f"u{n}@example.com" for n in range(60)], bcc=[f"v{n}@x.com" for n in range(41)])


@pytest.mark.parametrize(
    ("text", "subject", "name"),
    [
        ("Grüße\n.\nFrom here\n", "Grüße aus München", "Jürgen, der Große"),
        ("你好世界\n" * 50, "你好" * 60, "王小明" * 30),
        ("x" * 5000, "word " * 100, 'A "quoted" name'),
        ("مرحبا", "مرحبا بالعالم", "أحمد"),
        ("a\r\nb\rc\nd", "🎉 emoji", "Zoë 🎉"),
    ],
)
def test_the_mail_is_seven_bit_and_reads_as_it_was_written(text: str, subject: str, name: str) -> None:
    frozen = freeze(
        body_text=text, subject=subject, sender=Address(name, "ann@example.com"), body_html=f"<p>{text}</p>"
    )

    lines = frozen.mime.split(b"\r\n")
    assert frozen.mime.isascii() and max(map(len, lines)) <= 998
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", frozen.mime)
    message = read(frozen)
    assert message["Subject"] == subject.strip()
    # Not by .addresses: the standard parser leaves the blanks between two encoded words in (RFC 2047 6.2 drops them).
    plain = email.message_from_bytes(frozen.mime)["From"].replace("\r\n", "")
    shown = str(make_header(decode_header(plain))).replace("\\", "").replace('"', "")
    assert shown == f"{name} <ann@example.com>".replace('"', "")
    body, html = message.get_body(("plain",)), message.get_body(("html",))
    assert body and html
    expected = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    assert body.get_content().replace("\r\n", "\n").strip() == expected
    assert html.get_content().replace("\r\n", "\n").strip() == f"<p>{expected}</p>" or text.endswith("\n")


def test_a_blind_copy_is_in_the_envelope_and_nowhere_in_the_mail() -> None:
    frozen = freeze(to="bob@example.com", cc="cid@example.com", bcc="Secret <hidden@example.com>")

    assert frozen.recipients == (("to", "bob@example.com"), ("cc", "cid@example.com"), ("bcc", "hidden@example.com"))
    assert b"hidden" not in frozen.mime and b"Bcc" not in frozen.mime
    assert read(frozen)["Cc"] == "cid@example.com"


def test_an_address_given_twice_is_one_recipient() -> None:
    frozen = freeze(to="bob@example.com, Bob <bob@example.com>", cc="bob@example.com")

    assert frozen.recipients == (("to", "bob@example.com"),)


def test_a_domain_goes_in_ascii_and_only_a_local_part_needs_smtputf8() -> None:
    domain, local = freeze(to="bob@münchen.example"), freeze(to="jürgen@example.com")

    assert domain.recipients == (("to", "bob@xn--mnchen-3ya.example"),) and not domain.needs_smtputf8
    assert local.needs_smtputf8 and "jürgen@example.com".encode() in local.mime


def test_attachments_arrive_exactly_with_their_names() -> None:
    content = bytes(range(256)) * 40
    files = [
        AttachmentContent(
            "Übersicht März 2026 - ganz langer Name für eine Datei, mit Komma; und Strichpunkt.pdf",
            "application/pdf",
            content,
        ),
        AttachmentContent("plain.txt", "text/plain", b"a\nb\r\nc\x00"),
    ]

    parts = list(read(freeze(files=files, body_html="<b>x</b>")).iter_attachments())

    assert [(part.get_filename(), part.get_payload(decode=True)) for part in parts] == [
        (file.filename, file.content) for file in files
    ]


def test_the_frozen_mail_has_no_message_id_and_two_attempts_differ_only_in_two_headers() -> None:
    frozen = freeze()
    one, two = compose_build.stamped(frozen.mime, "<a@x>", "1"), compose_build.stamped(frozen.mime, "<b@x>", "2")

    assert read(frozen)["Message-ID"] is None
    assert one.split(b"\r\n")[2:] == two.split(b"\r\n")[2:]
    assert one.startswith(b"Message-ID: <a@x>\r\nX-PRX-Attempt: 1\r\n")


def parent(**changes: str) -> RepliedMessage:
    given = {
        "message_id": "<p@x>", "subject": "Plan", "sender": "Bob <bob@x.com>", "sender_address": "bob@x.com",
        "reply_to": "", "references_header": "", "in_reply_to": "",
    }  # fmt: skip
    return RepliedMessage(**(given | changes))


@pytest.mark.parametrize(
    ("subject", "answer"),
    [
        ("Plan", "Re: Plan"), ("Re: Plan", "Re: Plan"), ("RE: re: Re[2]: Plan", "Re: Plan"),
        ("Regards", "Re: Regards"), ("", "Re: (no subject)"), ("Pl\r\nan", "Re: Pl an"),
    ],
)  # fmt: skip
def test_an_answer_has_re_exactly_once(subject: str, answer: str) -> None:
    assert compose_build.reply_subject(subject) == answer


@pytest.mark.parametrize(
    ("changes", "to"),
    [
        ({"reply_to": "list@x.com"}, "list@x.com"),
        ({}, "Bob <bob@x.com>"),
        ({"reply_to": f"{'x' * 80}@list.example"}, f"{'x' * 80}@list.example"),
        ({"reply_to": "a@list.example; b@list.example"}, "a@list.example, b@list.example"),
        ({"sender": "Bob (broken", "sender_address": "bob@x.com"}, "bob@x.com"),
    ],
)
def test_an_answer_goes_to_reply_to_first_and_else_to_the_sender(changes: dict[str, str], to: str) -> None:
    assert compose_build.reply_recipients(parent(**changes)) == to


@pytest.mark.parametrize("broken", ["broken@", "nobody", "undisclosed-recipients:;", "a@b@c"])
def test_a_reply_to_that_is_there_is_never_passed_over_for_from(broken: str) -> None:
    with pytest.raises(ValidationFailed, match="which is no address"):
        compose_build.reply_recipients(parent(reply_to=broken))


def test_a_message_without_a_sender_cannot_be_answered() -> None:
    with pytest.raises(ValidationFailed, match="no sender"):
        compose_build.reply_recipients(parent(sender="", sender_address=""))


@pytest.mark.parametrize(
    ("changes", "in_reply_to", "references"),
    [
        ({}, "<p@x>", "<p@x>"),
        ({"references_header": "<a@x>\r\n <b@x>"}, "<p@x>", "<a@x> <b@x> <p@x>"),
        ({"in_reply_to": "<a@x>"}, "<p@x>", "<a@x> <p@x>"),
        ({"in_reply_to": "<a@x> <b@x>"}, "<p@x>", "<p@x>"),
        ({"message_id": "bare@x"}, "<bare@x>", "<bare@x>"),
        ({"message_id": "0" * 64, "references_header": "<a@x>"}, "", ""),
        ({"message_id": "<p@x>\r\nBcc: y@z"}, "<p@x>", "<p@x>"),
    ],
)
def test_an_answer_extends_the_thread(changes: dict[str, str], in_reply_to: str, references: str) -> None:
    threading = compose_build.reply_threading(parent(**changes))

    assert (threading.in_reply_to, threading.references) == (in_reply_to, references)


def test_a_long_thread_keeps_its_root_and_its_end() -> None:
    ids = [f"<{n:04}@thread.example.com>" for n in range(500)]

    kept = compose_build.reply_threading(parent(references_header=" ".join(ids))).references.split()

    assert kept[0] == ids[0] and kept[-2:] == [ids[-1], "<p@x>"] and len(" ".join(kept)) <= 1800
