"""A large mail passes through the web process piece by piece: looking at it and fetching its files takes no memory of
its size."""

from __future__ import annotations

import base64
import hashlib
import os
import tracemalloc
from typing import Any

import pytest
from django.test import Client

from mailbox.models import Account, Message
from mailbox.storage import raw_store
from outbox.models import OutboxMessage
from tests.rows import outbox_row, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
CONTENT = os.urandom(1024 * 1024) * 38  # 50 MB and more as base64 in lines
HEAD = b"From: ann@example.com\r\nTo: bob@example.com\r\nMessage-ID: <large@example.com>\r\nSubject: Large\r\n"
MOST = 6 * 1024 * 1024  # bytes that a request may take: a twelfth of the mail


def mail() -> bytes:
    lines = base64.encodebytes(CONTENT).replace(b"\n", b"\r\n")
    head = HEAD + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    text = b"--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n"
    file = b'--b\r\nContent-Type: application/zip; name="big.zip"\r\nContent-Disposition: attachment\r\n'
    return head + text + file + b"Content-Transfer-Encoding: base64\r\n\r\n" + lines + b"--b--\r\n"


@pytest.fixture
def message(account: Account) -> Message:
    raw = mail()
    assert len(raw) > 50_000_000
    return store(account, raw)


@pytest.fixture
def written(account: Account) -> OutboxMessage:
    return outbox_row(account, raw=mail())


class Fetched:
    """The answer, read to its end and not kept: its digest, and the most memory that Python took meanwhile."""

    def __init__(self, client: Client, url: str) -> None:
        tracemalloc.start()
        try:
            self.response: Any = client.get(url)
            digest, self.size = hashlib.sha256(), 0
            for piece in self.response if self.response.streaming else [self.response.content]:
                digest.update(piece)
                self.size += len(piece)
            self.peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.digest = digest.hexdigest()
        assert self.response.status_code == 200


def test_the_mail_as_a_file_is_every_byte_and_takes_no_memory(viewer: Client, message: Message) -> None:
    viewer.get("/")  # what the first request of a process loads is not this one's
    fetched = Fetched(viewer, f"/messages/{message.pk}/source.eml")
    assert fetched.digest == message.raw_digest
    assert fetched.response["Content-Length"] == str(fetched.size) == str(message.size)
    assert fetched.peak < MOST, fetched.peak


def test_an_attachment_is_every_byte_and_takes_no_memory(viewer: Client, message: Message) -> None:
    viewer.get("/")
    fetched = Fetched(viewer, f"/messages/{message.pk}/attachments/0/")
    assert fetched.digest == hashlib.sha256(CONTENT).hexdigest()
    assert fetched.response["Content-Length"] == str(len(CONTENT))
    assert fetched.response["Content-Type"] == "application/zip"
    assert fetched.response["Content-Disposition"] == 'attachment; filename="big.zip"'
    assert fetched.peak < MOST, fetched.peak


@pytest.mark.parametrize("view", ["source", "headers"])
@pytest.mark.in_part(2)
def test_its_page_takes_no_memory(viewer: Client, message: Message, view: str) -> None:
    viewer.get(f"/messages/{message.pk}/?view=text")
    fetched = Fetched(viewer, f"/messages/{message.pk}/?view={view}")
    assert b"large@example.com" in fetched.response.content
    assert fetched.peak < MOST, fetched.peak


@pytest.mark.parametrize("what", ["source.eml", "attachments/0/"])
@pytest.mark.in_part(2)
def test_a_written_mail_too(viewer: Client, written: OutboxMessage, what: str) -> None:
    viewer.get("/")
    fetched = Fetched(viewer, f"/outbox/{written.pk}/{what}")
    expected = hashlib.sha256(CONTENT).hexdigest() if what != "source.eml" else written.mime_digest
    assert fetched.digest == expected
    assert fetched.peak < MOST, fetched.peak


def test_a_damaged_file_is_said_before_a_byte_goes_out(viewer: Client, message: Message) -> None:
    """The digest is proven over the mapping first: half a download could not be taken back."""
    path = raw_store.map_raw(message.raw_digest)[1]
    with open(path, "r+b") as file:
        file.seek(40_000_000)
        file.write(b"????")
    assert viewer.get(f"/messages/{message.pk}/source.eml").status_code == 404
