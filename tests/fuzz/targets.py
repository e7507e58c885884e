"""What any bytes of a mail may be given to, and what must hold then."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from mailbox.mime import addresses, dates, message_ids, readable_text
from mailbox.mime import message as mime_message
from outbox.bounces import dsn_report
from outbox.bounces.report import MAX_ADDRESS, MAX_WORDS
from tests.fuzz import servers

SECONDS = 1.0  # of CPU, of an input of libFuzzer's 4 kB, with Atheris' counters within
LONG = 60_000  # octets of an input that repeats a piece of itself
_MOST_RATIO = 3.0  # of the time of twice the length: 2 is linear, 4 the square


def mime(data: bytes) -> None:
    """A received mail, its attachments and pictures, and what is searched and quoted of it."""
    with Within(SECONDS):
        parsed = mime_message.parse(data)
        assert_storable(parsed)
        for attachment in parsed.attachments[:20]:
            octets = mime_message.attachment_bytes(data, attachment.position, attachment.digest)
            assert len(octets) == attachment.size
            content = mime_message.attachment_content(data, attachment.position, attachment.digest)
            assert b"".join(content.pieces) == octets
        mime_message.header_lines(data)
        mime_message.shown_images(data, 1_000_000)
        for text in (readable_text.searched(parsed), readable_text.readable(parsed)):
            assert "\0" not in text
            text.encode()


def assert_storable(parsed: mime_message.ParsedMessage) -> None:
    json.dumps([str(value) for value in vars(parsed).values()], ensure_ascii=False).encode()
    assert not [name for name, value in vars(parsed).items() if isinstance(value, str) and "\0" in value]
    assert 0 < len(parsed.message_id.encode()) <= mime_message.MAX_MESSAGE_ID_BYTES
    assert len(parsed.snippet) <= readable_text.SNIPPET_CHARACTERS
    for attachment in parsed.attachments:
        assert 1 <= len(attachment.filename.encode()) <= 255 and not set(attachment.filename) & set("/\\\0\r\n")
        assert len(attachment.content_type) <= 255


def address_lists(data: bytes) -> None:
    """A field of addresses as it was received, and as a person typed it."""
    text = data.decode("utf-8", "surrogateescape")
    with Within(SECONDS):
        found = addresses.read(text)
        listed = addresses.shown(found)
        addresses.read(listed, is_decoded=True)
        for each in addresses.read_typed(text):
            assert (each.mailbox is None) != (each.problem is None)
            if each.mailbox is not None:
                assert addresses.canonical(each.mailbox.address) == each.mailbox.address
                assert len(each.mailbox.address.encode()) <= 254
                assert not set(each.mailbox.address) & set("\r\n\0")
                addresses.same(each.mailbox.address)
        for identity in message_ids.read(text):
            assert 0 < len(identity) <= message_ids.MAX_ID
        message_ids.thread_root(text)
        message_ids.topic(text)
        dates.read(text)


def bounces(data: bytes) -> None:
    """A mail that may be a delivery report."""
    with Within(SECONDS):
        report = dsn_report.read(data)
    for each in report.recipients if report else ():
        "".join((each.address, each.final, each.words, each.status_code)).encode()
        assert "\0" not in each.address + each.final + each.words
        assert len(each.address) <= MAX_ADDRESS and len(each.words) <= MAX_WORDS


_LINEAR: tuple[Callable[[bytes], object], ...] = (
    mime_message.parse,
    lambda data: readable_text.readable(mime_message.parse(data)),
    lambda data: addresses.read_typed(data.decode("utf-8", "surrogateescape")),
    lambda data: addresses.read(data.decode("utf-8", "surrogateescape")),
    dsn_report.read,
    lambda data: message_ids.read(data.decode("utf-8", "surrogateescape")),
    servers.imap_answers,
)


def linear(data: bytes) -> None:
    """An input with a piece of it many times over: five bytes say what reads it and which piece."""
    chosen, at, length, raw = _LINEAR[data[0] % len(_LINEAR)] if data else dates.read, data[1:3], data[3:5], data[5:]
    if not raw:
        return
    start = int.from_bytes(at, "big") % len(raw)
    piece = raw[start : start + 1 + int.from_bytes(length, "big") % 300]

    def seconds(size: int) -> float:
        whole = raw[:start] + piece * (size // len(piece)) + raw[start + len(piece) :]
        started = time.process_time()
        chosen(whole)
        return time.process_time() - started

    if (long := seconds(LONG)) > SECONDS:
        half = seconds(LONG // 2)
        assert long < _MOST_RATIO * half, f"{half:.1f} s, and {long:.1f} s of twice the length"


class Within:
    """Fails where more CPU is taken than this."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._started = time.process_time()

    def __exit__(self, *_: object) -> None:
        taken = time.process_time() - self._started
        assert taken < self._seconds, f"{taken:.2f} s of CPU"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "mime": mime,
    "addresses": address_lists,
    "bounces": bounces,
    "imap": servers.imap,
    "smtp": servers.smtp,
    "linear": linear,
}
