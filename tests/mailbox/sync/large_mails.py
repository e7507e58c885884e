"""Large messages for tests: how they look, the server that has them, and pieces small enough to wait for."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailbox.models import Account, Folder, MessagePlace
from mailbox.storage import raw_store
from mailbox.sync import large_messages
from tests.servers.certificates import Certificates
from tests.servers.imap_script import ScriptedImap

MB = 1024 * 1024
MakeAccount = Callable[..., Account]


def big(size: int, subject: str = "Big") -> bytes:
    """A mail with one attachment, about `size` bytes in all."""
    content = os.urandom(64 * 1024) * max(size * 3 // 4 // (64 * 1024), 1)
    lines = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return (
        b"From: ann@example.com\r\nTo: bob@example.com\r\nMessage-ID: <" + subject.encode() + b"@example.com>\r\n"
        b"Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nSubject: " + subject.encode() + b"\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n'
        b"--b\r\nContent-Type: application/pdf; name=big.pdf\r\nContent-Disposition: attachment\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + lines + b"\r\n--b--\r\n"
    )


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    """What one test leaves half fetched is no other test's message, though it may have its number."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates).start()
    yield server
    server.stop()


@pytest.fixture
def account(make_account: MakeAccount, server: ScriptedImap, certificates: Certificates) -> Account:
    where = {"imap_host": "localhost", "imap_port": server.port, "smtp_host": "localhost", "smtp_port": 1}
    account = make_account(**where, ca_certificate=certificates.ca_pem)
    Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    return account


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that two megabytes are large."""
    for module in ("mailbox.sync.large_messages", "mailbox.sync.requested", "mailbox.sync.folder_run"):
        monkeypatch.setattr(f"{module}.PIECES_FROM_BYTES", 200_000)
    for name in ("FIRST_PIECE", "SMALLEST_PIECE", "LARGEST_PIECE"):
        monkeypatch.setattr(large_messages, name, 300_000)


def whole(account: Account, raw: bytes) -> bool:
    row = MessagePlace.objects.select_related("message").filter(folder__account=account, uid=2).first()
    return bool(row and row.is_complete and row.message.is_complete and raw_store.open_raw(row.raw_digest) == raw)
