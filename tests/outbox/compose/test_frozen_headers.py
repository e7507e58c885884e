"""Every frozen mail's header is what we wrote and nothing else: hostile values in each field that becomes a header.

The mail is read here line by line, by RFC 5322 and 2045 alone, and not by the library that wrote parts of it.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailbox.mime import message as mime_message
from outbox.compose import build as compose_build
from outbox.compose.addresses import Address
from outbox.compose.attachments import (
    AttachmentContent,
    AttachmentInput,
    AttachmentStore,
    checked_filename,
    read_attachment,
)
from outbox.compose.build import FrozenMessage, RepliedMessage, Request
from outbox.errors import ValidationFailed
from outbox.models import AttachmentPolicy

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOP = {"date", "from", "to", "cc", "subject", "in-reply-to", "references", "auto-submitted", "mime-version"}
PART = {"content-type", "content-transfer-encoding", "content-disposition"}
HOSTILE = [
    "=?utf-8?Q?x.txt=22=0D=0AContent-Type:=20text/html=0D=0AX-Evil:=20yes?=",
    "=?utf-8?B?eC50eHQiDQpYLUV2aWw6IHllcw==?=",
    '"; name="evil.exe"',
    'a\\"b.txt',
    "x*0*=utf-8''y; filename=z.exe",
    "%0D%0AX-Evil: yes.txt",
    "\u2028X-Evil: yes\u2029\x85.txt",
    "résumé 履歴書.pdf",
    "a" * 250 + ".txt",
    "é" * 120 + ".txt",
    " leading and trailing .txt",
    "semi;colon,comma(paren)<angle>.txt",
    "x" * 60,
    "=?=",
    "--",
    "\U0001f4c4 " * 20,
]


def blocks(raw: bytes) -> Iterator[dict[str, str]]:
    """The header of the mail and of each part, unfolded; a line that is no header line fails the test."""
    boundaries = [match.encode() for match in re.findall(r'boundary="([^"]+)"', raw.decode("ascii"))]
    in_header, fields = True, list[str]()
    for line in raw.split(b"\r\n"):
        assert b"\n" not in line and b"\r" not in line and len(line) <= 998, line[:80]
        if any(line == b"--" + boundary for boundary in boundaries):
            in_header, fields = True, []
        elif in_header and not line:
            in_header = False
            yield _fields(fields)
        elif in_header and line[:1] in b" \t":
            fields[-1] += line.decode("ascii")
        elif in_header:
            fields.append(line.decode("ascii"))


def _fields(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon and re.fullmatch(r"[A-Za-z-]+", name), line
        assert name.lower() not in found, f"{name} twice"
        found[name.lower()] = value.strip()
    return found


def filename_of(disposition: str) -> str:
    """RFC 2231 by hand: plain, extended, or continued; nothing else may stand in it."""
    kind, *parameters = [each.strip() for each in disposition.split("; ")] if "; " in disposition else [disposition]
    assert kind == "attachment"
    text = ""
    for number, parameter in enumerate(parameters):
        name, _, value = parameter.partition("=")
        if name == "filename":
            assert re.fullmatch(r'"[A-Za-z0-9 _.,+@()\[\]-]*"', value) and len(parameters) == 1
            return value[1:-1]
        assert name == ("filename*" if len(parameters) == 1 else f"filename*{number}*"), name
        assert re.fullmatch(r"[A-Za-z0-9!#$&+.^_`{}~%'-]*", value), value
        text += value
    charset, _language, encoded = text.split("'", 2)
    return urllib.parse.unquote(encoded, encoding=charset, errors="strict")


def freeze(sender: Address | None = None, files: tuple[AttachmentContent, ...] = (), **changes: str) -> FrozenMessage:
    request = Request(**({"to": "bob@example.com", "subject": "Hello", "body_text": "A text."} | changes))
    return compose_build.freeze(request, sender or Address("Ann", "ann@example.com"), list(files), now=NOW)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("html", ["", "<p>Hello</p>"])
def test_a_file_name_is_in_its_parts_header_and_writes_no_other(name: str, html: str) -> None:
    files = (
        AttachmentContent(checked_filename(name), "text/plain", b"x\r\n--\r\n"),
        AttachmentContent("b", "image/png", b""),
    )
    frozen = freeze(files=files, body_html=html)
    top, *parts = blocks(frozen.mime)
    assert set(top) == {"date", "from", "to", "subject", "mime-version", "content-type"}
    assert all(set(part) <= PART | {"mime-version"} for part in parts)
    attached = [part for part in parts if "content-disposition" in part]
    assert [(part["content-type"], part["content-transfer-encoding"]) for part in attached] == [
        ("text/plain", "base64"),
        ("image/png", "base64"),
    ]
    assert filename_of(attached[0]["content-disposition"]) == checked_filename(name)
    read = mime_message.parse(frozen.mime)
    assert len(read.attachments) == 2
    assert mime_message.attachment_bytes(frozen.mime, 0) == b"x\r\n--\r\n"
    assert read.body_text.strip() == "A text."


@pytest.mark.parametrize("text", [*HOSTILE, "n" * 899, "word " * 170])
def test_a_subject_is_read_as_it_was_written(text: str) -> None:
    frozen = freeze(subject=text)
    (top, *_rest) = blocks(frozen.mime)
    assert set(top) <= TOP | PART
    assert mime_message.parse(frozen.mime).subject.split() == text.split()


@pytest.mark.parametrize("name", [*HOSTILE, "N" * 975, "Ann " * 240, "é" * 975])
def test_a_display_name_writes_no_header_and_no_line_over_998(name: str) -> None:
    frozen = freeze(sender=Address(name.strip(), "ann@example.com"))
    (top, *_rest) = blocks(frozen.mime)
    assert set(top) <= TOP | PART
    read = mime_message.parse(frozen.mime)
    assert read.sender_address == "ann@example.com"


@pytest.mark.parametrize("length", [100, 899, 901, 985, 986, 987, 995, 996, 997, 998, 2000])
def test_the_ids_of_an_answer_keep_their_line_below_998(length: int) -> None:
    message_id = f"<{'i' * (length - 14)}@example.com>"
    parent = RepliedMessage(
        message_id, "Hello", "bob@example.com", "bob@example.com", "", f"<root@x.example> {message_id}", ""
    )
    threading = compose_build.reply_threading(parent)
    request = Request("bob@example.com", "Re: Hello", "A text.")
    frozen = compose_build.freeze(request, Address("", "ann@example.com"), [], now=NOW, threading=threading)
    (top, *_rest) = blocks(frozen.mime)
    if length <= 996:
        assert top["in-reply-to"] == message_id
        assert top["references"].split()[-1] == message_id
    else:
        assert "in-reply-to" not in top and "references" not in top


@pytest.mark.parametrize("value", ["<a@x>\r\nX-Evil: 1", "<a b@x>", "<é@x>", "<a@x> <b@x>", "\x00"])
def test_an_id_of_the_parent_writes_no_header(value: str) -> None:
    parent = RepliedMessage(value, "Hello", "bob@example.com", "bob@example.com", "", value, value)
    request = Request("bob@example.com", "Re: Hello", "A text.")
    threading = compose_build.reply_threading(parent)
    frozen = compose_build.freeze(request, Address("", "ann@example.com"), [], now=NOW, threading=threading)
    (top, *_rest) = blocks(frozen.mime)
    assert set(top) <= TOP | PART
    assert re.fullmatch(r"(<[!-~]+>)?", top.get("in-reply-to", ""))


@pytest.mark.parametrize("kind", ["text/html\r\nX-Evil: 1", "text/html; name=x", 'text/"x', "a/" + "b" * 300])
def test_a_content_type_is_one_of_the_policys_or_refused(kind: str) -> None:
    policy = AttachmentPolicy(max_size_bytes=10, allowed_content_types=["text/plain", kind])
    with pytest.raises(ValidationFailed):
        read_attachment(AttachmentInput("x", kind, content=b"x"), policy, AttachmentStore(enabled=False, root=Path()))


def test_what_no_person_wrote_says_so() -> None:
    request = Request("bob@example.com", "Alert", "A text.", auto_submitted=True)
    (top, *_rest) = blocks(compose_build.freeze(request, Address("", "ann@example.com"), [], now=NOW).mime)
    assert top["auto-submitted"] == "auto-generated"
    (top, *_rest) = blocks(freeze().mime)
    assert "auto-submitted" not in top
