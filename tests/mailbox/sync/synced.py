"""Mail on a real Dovecot, and what of it is stored."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest

from mailbox.models import Account, Folder, MessagePlace, SyncState
from mailbox.sync import folder_sync
from tests.servers.dovecot import Dovecot

MakeAccount = Callable[..., Account]
WHEN = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def mail(number: int = 1, **headers: str) -> bytes:
    """A small mail; keyword arguments set headers, with _ for -, and `body`."""
    message = EmailMessage()
    body = headers.pop("body", f"Text {number}.")
    fields = {
        "From": "Ann <ann@example.com>",
        "To": "bob@example.com",
        "Subject": f"Mail {number}",
        "Date": "Fri, 01 Mar 2024 12:00:00 +0000",
        "Message-ID": f"<{number}@example.com>",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in fields.items():
        message[name] = value
    message.set_content(body)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def on_server(dovecot: Dovecot, account: Account, *folders: str) -> set[tuple[str, int, str]]:
    return {
        (folder, uid, hashlib.sha256(raw).hexdigest())
        for folder in folders or ("INBOX",)
        for uid, raw in dovecot.messages(account.email, folder).items()
    }


def stored(account: Account) -> set[tuple[str, int, str]]:
    rows = MessagePlace.objects.present().filter(folder__account=account)
    return set(rows.values_list("folder__name", "uid", "raw_digest"))


def fill(dovecot: Dovecot, account: Account, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        dovecot.append(account.email, "INBOX", mail(number), when=WHEN + timedelta(minutes=number))


def state_of(account: Account, folder: str = "INBOX") -> SyncState:
    return SyncState.objects.get(account=account, folder__name=folder)


@pytest.fixture
def account(make_account: MakeAccount) -> Account:
    return make_account()


def list_folders(account: Account) -> list[Folder]:
    """The folders that are there after a listing."""
    folder_sync.discover_folders(account.pk)
    return list(Folder.objects.filter(account=account, gone_at=None))
