"""What Outlook wraps into a winmail.dat is listed and served like any attachment."""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime import message as mime_message
from mailbox.mime.files import containers
from mailbox.mime.files import tnef as mime_tnef
from tests.mailbox.mime.files.tnef_files import (
    attached,
    attached_message,
    attribute,
    binary_property,
    named_property,
    number_property,
    properties,
    text_property,
    tnef,
)
from tests.mailbox.mime.mime_messages import HEAD, multipart

REPORT = attached(
    b"REPORT~1.PDF",
    b"%PDF-1.4",
    named_property("Keywords", "x"),
    text_property(0x3707, "Jahresbericht — Größe.pdf"),
    text_property(0x370E, "application/pdf"),
)
LOGO = attached(b"logo.png", b"\x89PNG", text_property(0x3712, "logo@x"))


def wrapped(content: bytes, *before: bytes) -> bytes:
    part = b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return multipart(*before, part + base64.encodebytes(content))


def test_its_files_stand_behind_it_with_their_names_types_and_bytes() -> None:
    raw = wrapped(tnef(REPORT, LOGO), b"Content-Type: text/plain\r\n\r\nhello", b"Content-Type: image/gif\r\n\r\nGIF")
    parsed = mime_message.parse(raw)
    assert parsed.body_text == "hello"
    assert [(each.filename, each.content_type, each.size) for each in parsed.attachments] == [
        ("attachment-1.gif", "image/gif", 3),
        ("winmail.dat", "application/ms-tnef", len(tnef(REPORT, LOGO))),
        ("Jahresbericht — Größe.pdf", "application/pdf", 8),
        ("logo.png", "image/png", 4),
    ]
    assert mime_message.attachment_bytes(raw, 1) == tnef(REPORT, LOGO)
    assert mime_message.attachment_bytes(raw, 2) == b"%PDF-1.4"
    assert mime_message.inline_images(raw) == {"logo@x": ("image/png", b"\x89PNG")}
    assert parsed.defects == ()


def test_it_is_opened_by_its_name_and_first_bytes_where_a_gateway_hides_its_type() -> None:
    raw = wrapped(tnef(REPORT)).replace(b"application/ms-tnef", b"application/octet-stream")
    names = [each.filename for each in mime_message.parse(raw).attachments]
    assert names == ["winmail.dat", "Jahresbericht — Größe.pdf"]
    other = wrapped(b"x\x9f no such file" * 9).replace(b"application/ms-tnef", b"application/octet-stream")
    parsed = mime_message.parse(other)
    assert ([each.filename for each in parsed.attachments], parsed.defects) == (["winmail.dat"], ())


def test_its_text_is_the_body_of_a_mail_that_has_no_other() -> None:
    body = attribute(1, 0x9003, 6, properties(number_property(0x3FDE, 65001), binary_property(0x1013, "<p>é".encode())))
    raw = HEAD + b"Content-Type: application/ms-tnef\r\n\r\n" + tnef(attribute(1, 0x800C, 2, b"caf\xe9\0"), body)
    parsed = mime_message.parse(raw)
    assert (parsed.body_text, parsed.body_html) == ("café", "<p>é")
    assert [each.filename for each in parsed.attachments] == ["winmail.dat"]


def test_its_text_is_the_body_also_beside_a_blank_one() -> None:
    blank = b"Content-Type: text/plain\r\n\r\n \r\n"
    parsed = mime_message.parse(wrapped(tnef(attribute(1, 0x800C, 2, b"what was said\0")), blank))
    assert parsed.body_text == "what was said"
    assert mime_message.parse(wrapped(tnef(REPORT), blank)).body_text.strip() == ""


def test_a_message_attached_in_it_becomes_its_text_and_its_files() -> None:
    inner = tnef(attribute(1, 0x8004, 1, b"Minutes\0"), attribute(1, 0x800C, 2, b"what was said\0"), REPORT)
    raw = wrapped(tnef(attached_message(inner), LOGO))
    names = [each.filename for each in mime_message.parse(raw).attachments]
    assert names == ["winmail.dat", "Minutes.txt", "Jahresbericht — Größe.pdf", "logo.png"]
    assert mime_message.attachment_bytes(raw, 1) == b"what was said"


@pytest.mark.parametrize("kept", [0, 3, 20, 60, 100, 150])
def test_of_a_file_that_is_cut_off_what_came_is_listed_and_the_rest_said(kept: int) -> None:
    parsed = mime_message.parse(wrapped(tnef(LOGO, REPORT)[:-kept] if kept else b"no such thing"))
    assert parsed.attachments[0].filename == "winmail.dat"
    assert parsed.defects == ("WinmailDefect",)


def test_names_in_it_are_made_safe_like_all_others() -> None:
    parsed = mime_message.parse(wrapped(tnef(attached(b"..\\..\\evil\x07.exe", b"x"))))
    assert parsed.attachments[1].filename == "evil.exe"


def test_one_too_large_to_be_opened_is_one_attachment_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_MAX_BYTES", 100)
    parsed = mime_message.parse(wrapped(tnef(REPORT, LOGO)))
    assert ([each.filename for each in parsed.attachments], parsed.defects) == (["winmail.dat"], ("WinmailTooLarge",))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 600), st.binary(max_size=12))
def test_any_bytes_in_it_can_be_read(at: int, instead: bytes) -> None:
    whole = tnef(attached_message(tnef(REPORT)), LOGO)
    broken = whole[:at] + instead + whole[at + len(instead) :]
    parsed = mime_message.parse(wrapped(broken))
    for attachment in parsed.attachments:
        assert len(mime_message.attachment_bytes(wrapped(broken), attachment.position)) == attachment.size


def nested(depth: int) -> bytes:
    inner = tnef(LOGO)
    for _ in range(depth):
        inner = tnef(attached_message(inner))
    return inner


ATTRIBUTE = partial(attribute, 1, 0x9003, 6)
# Each is made by its test, as every process of a run imports this module.
EXPENSIVE: dict[str, Callable[[], bytes]] = {
    "attributes": lambda: tnef(attribute(1, 0x8004, 1, b"") * 300_000),
    "attachments": lambda: tnef(attached(b"a", b"x") * 60_000),
    "properties": lambda: tnef(ATTRIBUTE(struct.pack("<I", 2**32 - 1) + number_property(1, 1) * 300_000)),
    "values": lambda: tnef(ATTRIBUTE(struct.pack("<IHHI", 1, 0x1003, 1, 2**32 - 1) + b"\0" * 3_000_000)),
    "empty values": lambda: tnef(ATTRIBUTE(struct.pack("<IHHI", 1, 0x1102, 1, 2**32 - 1) + b"\0" * 3_000_000)),
    "depth": lambda: nested(2000),
}


@pytest.mark.parametrize("make", EXPENSIVE.values(), ids=EXPENSIVE)
def test_one_built_to_cost_time_is_read_to_a_limit(make: Callable[[], bytes]) -> None:
    content = make()
    started = time.process_time()
    found = mime_tnef.read(content)
    assert time.process_time() - started < 1
    assert len(found.files) <= mime_tnef.MAX_FILES
