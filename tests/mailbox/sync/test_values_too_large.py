"""A mail with a value that PostgreSQL takes in no row is put aside: it is the mail's fault, the database is well."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from django.db import DataError, connection

from mailbox.db import failures
from mailbox.models import Account, MessagePlace, Quarantine, SyncState
from mailbox.sync import folder_sync
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap

__all__ = ["account"]
pytestmark = [pytest.mark.django_db, pytest.mark.wire]
BAD = 3


def large_text() -> bytes:
    """Of letters by chance, which no compression makes fit into an index row of 2,704 bytes."""
    letters = bytes(random.Random(1).choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=60_000))
    return b"Message-ID: <large@example.com>\r\nFrom: e@example.com\r\nSubject: s\r\n\r\n" + letters


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    mails = {uid: Mail(mail(uid)) for uid in range(1, 6)} | {BAD: Mail(large_text())}
    server = ScriptedImap(certificates, mails).start()
    yield server
    server.stop()


@pytest.fixture
def indexed() -> None:
    """An index on the text, as an operator may have made one: of a large value it has no row."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's index rows have no such limit.")
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX own_text ON messages (body_text)")


@pytest.mark.usefixtures("indexed")
def test_the_mail_is_put_aside_and_the_rest_of_the_account_comes(account: Account, server: ScriptedImap) -> None:
    failures._counts.clear()
    assert folder_sync.sync(account.pk).ok
    stored = MessagePlace.objects.present().filter(folder__account=account)
    assert sorted(stored.values_list("uid", flat=True)) == [1, 2, 4, 5]
    aside = Quarantine.objects.get()
    assert (aside.uid, aside.error.startswith("It could not be stored: DataError: index row")) == (BAD, True)
    assert SyncState.objects.get().cursor == 5
    assert not failures._counts, "a value that is too large is no failure of the database"
    assert folder_sync.sync(account.pk).ok


@pytest.mark.usefixtures("indexed")
def test_a_statement_with_a_value_too_large_raises_what_a_value_raises() -> None:
    with pytest.raises(DataError, match="index row"), connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE too_large (value text PRIMARY KEY)")
        cursor.execute("INSERT INTO too_large VALUES (%s)", [large_text().decode()])
