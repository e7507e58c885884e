"""A disk that is full at the two commits that count: "dot", and the outcome. A real file system, and real SQLite."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from django.db import connection

from mailbox.models import Account
from outbox import api
from tests.servers.site import ROOT, environment
from tests.servers.small_disk import SmallDisk, disk
from tests.servers.smtp import SmtpServer

__all__ = ["disk"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's files lie with its server."),
]
# One attempt, that gives up writing its outcome after some seconds; with "later", an hour later, as the sweep would.
WORKER = """
import django, sys
django.setup()
from datetime import timedelta
from django.utils import timezone
from outbox.delivery import deliver as delivery
from outbox.delivery import recovery
from outbox.smtp.connection import SmtpTimeouts
from outbox.delivery.timeouts import Times
later = timedelta(hours=1 if "later" in sys.argv else 0)
clock = lambda: timezone.now() + later
recovery.recover(clock())
times = Times(SmtpTimeouts(10, 20, 20, 60), claim_lease=60, dot_lease=60, finalize=4)
delivery.deliver_account(int(sys.argv[1]), times=times, clock=lambda: clock() + timedelta(seconds=1))
"""


class Installation:
    """The test database, copied to the small disk, and its worker."""

    def __init__(self, disk: SmallDisk, account: Account, server: SmtpServer) -> None:
        self.file, self._account, self.server = disk.path / "db.sqlite3", account, server
        assert api.queue(account.pk, "bob@example.test", "Hello", "A text.").ok
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(self.file)])
        with sqlite3.connect(self.file) as database:
            database.execute("PRAGMA journal_mode=WAL")

    def work(self, *when: str) -> str:
        """Run the worker to its end; what it logged. Others read meanwhile, as the web server does: else SQLite would
        begin its log anew with each connection, and find room there."""
        command = [sys.executable, "-c", WORKER, str(self._account.pk), *when]
        env = environment(DATABASE_URL=f"sqlite:///{self.file}")
        reader = sqlite3.connect(self.file, isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute('SELECT count(*) FROM "outbox"').fetchone()
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
        finally:
            reader.close()
        return done.stdout + done.stderr

    def row(self) -> tuple[str, str, bool]:
        """Status, hold, and whether "dot" is written."""
        with sqlite3.connect(self.file) as database:
            found = database.execute('SELECT status, hold, data_at IS NOT NULL FROM "outbox"').fetchone()
        status, hold, has_dot = found
        return status, hold, bool(has_dot)


@pytest.fixture
def installation(
    disk: SmallDisk, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> Installation:
    server = smtp_server("tls")
    return Installation(disk, account_on(server), server)


def when_asked_for(server: SmtpServer, command: str, act: Callable[[], None]) -> None:
    answer = server.fault

    def fault(asked: str, line: str) -> object:
        if asked == command:
            act()
        return answer(asked, line)

    server.fault = fault  # type: ignore[method-assign, assignment]


def test_full_at_the_dot_commit_nothing_is_sent_and_the_mail_goes_out_later(
    installation: Installation, disk: SmallDisk
) -> None:
    when_asked_for(installation.server, "RCPT", disk.fill)

    log = installation.work()

    assert "full" in log and "." not in installation.server.commands
    disk.free()
    assert installation.row() == ("sending", "", False)  # it could not even be given back: its lease ends by itself
    installation.server.fault = lambda command, line: None  # type: ignore[method-assign]
    installation.work("later")
    assert installation.row()[:2] == ("sent", "") and len(installation.server.mails()) == 1


@pytest.mark.long
def test_full_at_the_outcome_a_person_is_asked(installation: Installation, disk: SmallDisk) -> None:
    installation.server.deliver = lambda mail: disk.fill()

    log = installation.work()

    assert "finalize_retried" in log and "full" in log
    disk.free()
    assert installation.row() == ("sending", "", True)
    installation.work("later")
    assert installation.row() == ("failed", "uncertain", True) and len(installation.server.mails()) == 1


@pytest.mark.long
def test_full_for_a_moment_at_the_outcome_costs_nothing(installation: Installation, disk: SmallDisk) -> None:
    def fill_for_a_moment(_: object) -> None:
        disk.fill()
        threading.Timer(1, disk.free).start()

    installation.server.deliver = fill_for_a_moment

    log = installation.work()

    assert "finalize_retried" in log
    assert installation.row() == ("sent", "", False) and len(installation.server.mails()) == 1
