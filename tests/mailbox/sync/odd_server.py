"""An account on a scripted IMAP server, and whether all of its mail came in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailbox.models import Account, Quarantine
from mailbox.storage.raw_store import digest_of
from mailbox.sync import folder_sync
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail, stored
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap

__all__ = ["account"]


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in (1, 2, 3)}).start()
    yield server
    server.stop()


def all_stored(account: Account, server: ScriptedImap) -> bool:
    there = {("INBOX", uid, digest_of(each.raw)) for uid, each in server.mails.items()}
    return stored(account) == there and not Quarantine.objects.exists()


def sync(account: Account, folder: str = "INBOX") -> None:
    outcome = folder_sync.sync(account.pk, folder)
    assert outcome.ok, outcome.error
