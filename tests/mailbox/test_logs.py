"""A log's line: one for each event, of whom, from where, and without what is nobody's business."""

from __future__ import annotations

import logging
import os
import platform
import sys

from mailbox.logs import EventFormatter


def line(message: str, *, exc_info: bool = False, **fields: object) -> str:
    info = sys.exc_info() if exc_info else None
    record = logging.LogRecord("mailbox.sync", logging.WARNING, "x.py", 1, message, (), info)
    record.fields = fields
    return EventFormatter().format(record)


def test_a_line_names_host_process_and_the_account_by_its_key() -> None:
    text = line("sync_failed", account=7, folder="INBOX")
    assert f" WARNING {platform.node() or 'localhost'}/{os.getpid()} mailbox.sync sync_failed " in text
    assert text.endswith('account=7 folder="INBOX"')


def test_addresses_are_redacted_and_message_ids_are_not() -> None:
    text = line("attempt to ann@example.com", reply="no user ann@example.com", message_id="<outbox-1-0@mail.example>")
    assert "ann@" not in text and text.count("a***@example.com") == 2
    assert 'message_id="<outbox-1-0@mail.example>"' in text


def test_an_exception_is_one_line_with_its_traceback() -> None:
    try:
        raise ValueError("bob@example.com\nis no number")
    except ValueError:
        text = line("crashed", exc_info=True, account=7)
    assert "\n" not in text
    assert "Traceback" in text and "ValueError" in text and "bob@" not in text


def test_no_servers_word_begins_a_line_of_its_own() -> None:
    forged = "gone\r\n2026-01-01 ERROR\u2028x mailbox forged\x85\x1b[2J\x9b2J\x9d52;c;eA==\x9c"
    text = line(forged, reply=forged)
    assert len(text.splitlines()) == 1 and not set(text) & set("\x1b\x9b\x9c\x9d")
    assert "\\x9b2J\\x9d52;c;eA==\\x9c" in text
