"""Accounts in step with their server, so that a look at them finds nothing."""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.db import connection

from mailbox.clocks import SLACK
from mailbox.imap.session import FolderStatus, ImapSession
from mailbox.models import Account
from mailbox.scheduler import account_queue
from mailbox.scheduler.account_queue import SyncJob
from mailbox.scheduler.runner import run_sync
from tests.mailbox.sync.synced import fill
from tests.servers.dovecot import Dovecot

ONCE = 0
MakeAccount = Callable[..., Account]


@pytest.fixture
def account(make_account: MakeAccount, dovecot: Dovecot) -> Account:
    """In step with its server: the next look finds nothing."""
    return in_step(make_account(), dovecot)


def in_step(account: Account, dovecot: Dovecot) -> Account:
    fill(dovecot, account, 2)
    for _ in range(2):
        assert run_sync([SyncJob(account.pk)], ONCE).succeeded == 1
    return account


def due_jobs(now: datetime) -> list[SyncJob]:
    """What is due of all accounts, whenever it was tried."""
    everyone = list(Account.objects.values_list("pk", flat=True))
    return account_queue.due_jobs(now, now + 2 * SLACK, everyone)


def at_examine(act: Callable[[ImapSession], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something each time when the server has answered, and nothing is written yet."""
    examine = ImapSession.examine

    def acting(session: ImapSession, *arguments: Any) -> FolderStatus:
        status = examine(session, *arguments)
        act(session)
        return status

    monkeypatch.setattr(ImapSession, "examine", acting)


def take_database_away() -> Callable[[], None]:
    """From this thread's connection, until what is returned is called."""
    if connection.vendor == "sqlite":
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        connection.connection.execute("PRAGMA busy_timeout = 20")
        return other.close
    connection.ensure_connection()
    where = {key: value for key, value in connection.get_connection_params().items() if key in WHERE}
    with psycopg.connect(**where, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    return lambda: None


WHERE = ("dbname", "user", "password", "host", "port")
