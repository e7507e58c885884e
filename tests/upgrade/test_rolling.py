"""An upgrade while mail goes in and out: the newest release's workers are at work, the tables are migrated under them,
this code's workers join, the old ones go. As the mail server has it, nothing is lost or doubled."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.rows import letter
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.postgres import Postgres
from tests.servers.site import ROOT, Cluster, environment
from tests.servers.smtp import SmtpServer
from tests.upgrade.released import manage, run, unpacked

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        connection.vendor != "sqlite", reason="It has a PostgreSQL of its own: one of both runs is enough."
    ),
]
ACCOUNTS, ROUNDS = ("ann@example.test", "bob@example.test"), 12
# What pages and programs do meanwhile, by either code: it says what it was told is written.
WRITING = """
import pathlib, time
from django.db import DatabaseError
from mailbox.models import Account
from outbox import api
number, pks = 0, list(Account.objects.values_list("pk", flat=True))
while not pathlib.Path({stop!r}).exists():
    subject, number = f"{mark} {{number}}", number + 1
    try:
        answer = api.queue(pks[number % len(pks)], "bob@example.test", subject, "A text.")
    except DatabaseError:
        continue
    if answer.ok:
        print(subject, flush=True)
    time.sleep(0.2)
"""
STORED = """SELECT raw_digest FROM message_places JOIN folders ON folders.id = folder_id
JOIN accounts ON accounts.id = account_id WHERE email = %s"""


class Writing:
    """Mails are written all the while, until end()."""

    def __init__(self, folder: Path, code: Path, mark: str, said: dict[str, str]) -> None:
        self.mark, self._stop, self._log = mark, folder / f"{mark}.stop", folder / f"{mark}.txt"
        script = WRITING.format(stop=str(self._stop), mark=mark)
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "shell", "-c", script], cwd=code, env=environment(**said), stdout=output
            )

    def said(self) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if line.startswith(f"{self.mark} ")]

    def end(self) -> None:
        self._stop.touch()
        self._process.wait(120)


class Rolling:
    def __init__(self, folder: Path, postgres: Postgres, dovecot: Dovecot, relay: SmtpServer) -> None:
        self.folder, self.url, self.dovecot, self.relay = folder, postgres.url, dovecot, relay
        self.said = {"DATABASE_URL": postgres.url, "PRX_EMAIL_TEST_FOLDER": str(folder / "data")}
        (folder / "data").mkdir()

    def sql(self, statement: str, *values: object) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as opened:
            return [row[0] for row in opened.execute(statement, values).fetchall()]  # type: ignore[arg-type]

    def add_accounts(self, code: Path) -> None:
        (self.folder / "ca.pem").write_text(self.dovecot.ca_pem + self.relay.ca_pem)
        servers = f"--imap-host=localhost --imap-port={self.dovecot.imap_port} --smtp-host=localhost"
        more = f"{servers} --smtp-port={self.relay.port} --smtp-security=tls --password-env=ANN"
        for email in ACCOUNTS:
            manage(
                code,
                "add_account",
                email,
                *more.split(),
                f"--ca-file={self.folder / 'ca.pem'}",
                **self.said,
                ANN=MAILBOX_PASSWORD,
            )

    def bring(self, mark: str) -> None:
        for account in ACCOUNTS:
            self.dovecot.append_many(account, "INBOX", [(letter(f"{mark} {n}"), (), None) for n in range(5)])

    def wait_for_all(self) -> None:
        left = "SELECT count(*) FROM outbox WHERE status <> 'sent' AND hold <> 'uncertain'"
        wait_until(lambda: self.sql(left) == [0], seconds=300, what="all mail to be sent")
        wanted = sum(len(self.dovecot.messages(account)) for account in ACCOUNTS)
        fetched = "SELECT count(*) FROM message_places"
        wait_until(lambda: self.sql(fetched) == [wanted], seconds=300, what="all mail to be fetched")

    def sent(self) -> Counter[str]:
        return Counter(re.findall(rb"^Subject: (.*?)\r\n", mail.raw, re.M)[0].decode() for mail in self.relay.mails())

    def sent_of(self, mark: str) -> int:
        return sum(subject.startswith(f"{mark} ") for subject in self.sent())


def migrate(rolling: Rolling) -> None:
    """As docs/operations.md has it: where it ends by a table that is in use, it is started again."""
    for _ in range(ROUNDS):
        done = run(ROOT, "migrate", "--verbosity", "0", **rolling.said)
        if done.returncode == 0:
            return
        assert "lock timeout" in done.stderr or "deadlock" in done.stderr, done.stderr
    raise AssertionError(f"The tables were in use each time: {done.stderr}")


def test_from_the_newest_release_to_this_code_while_mail_goes_in_and_out(
    postgres: Postgres, dovecot: Dovecot, smtp_server: Callable[..., SmtpServer], tmp_path: Path
) -> None:
    released = unpacked(tmp_path)
    rolling = Rolling(tmp_path, postgres, dovecot, smtp_server("tls"))
    manage(released, "migrate", "--verbosity", "0", **rolling.said)
    rolling.add_accounts(released)
    with ExitStack() as stack:

        def workers(name: str, code: Path) -> Cluster:
            cluster = Cluster(tmp_path / f"{name}.log", cwd=code, **rolling.said)
            stack.callback(cluster.stop)
            return cluster

        def write(mark: str, code: Path) -> Writing:
            writing = Writing(tmp_path, code, mark, rolling.said)
            stack.callback(writing.end)
            return writing

        try:
            old, by_old = workers("old", released), write("old", released)
            rolling.bring("before")
            wait_until(lambda: rolling.sent_of("old") > 10, seconds=180, what="the old workers to send")
            before = len(by_old.said())
            rolling.bring("during")
            migrate(rolling)
            wait_until(lambda: len(by_old.said()) > before + 5, seconds=120, what="the old pages to write on")
            new, by_new = workers("new", ROOT), write("new", ROOT)
            rolling.bring("beside")
            wait_until(lambda: rolling.sent_of("new") > 20, seconds=180, what="both to send")
            old.stop(120)
            assert old.process.returncode == 0, old.log()[-3000:]
            rolling.bring("after")
            already = rolling.sent_of("new")
            wait_until(lambda: rolling.sent_of("new") > already + 10, seconds=180, what="the new ones alone to send")
            by_old.end()
            by_new.end()
            rolling.wait_for_all()
        except TimeoutError as error:
            logs = "".join(path.read_text(errors="replace")[-4000:] for path in tmp_path.glob("*.log"))
            raise AssertionError(f"{error}\n{logs}") from error
        assert new.process.poll() is None
    sent, uncertain = rolling.sent(), set(rolling.sql("SELECT subject FROM outbox WHERE hold = 'uncertain'"))
    assert max(sent.values()) == 1 and len(uncertain) <= len(ACCOUNTS)
    assert set(sent) | uncertain == {*by_old.said(), *by_new.said()}
    for account in ACCOUNTS:
        there = Counter(hashlib.sha256(raw).hexdigest() for raw in dovecot.messages(account).values())
        assert Counter(rolling.sql(STORED, account)) == there and len(there) == 20
