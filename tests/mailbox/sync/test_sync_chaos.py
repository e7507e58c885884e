"""Whatever is killed, whenever, in whatever order: in the end the server's set of messages is ours.

Each history is made by chance from its seed; where it ends unequal, the seed is the bug report.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from mailbox.models import Account, Lease, Quarantine, SyncState
from mailbox.sync import folder_sync
from mailbox.sync.uidvalidity import let_go_on
from tests.mailbox.sync.synced import WHEN, mail, on_server, stored
from tests.mailbox.sync.test_sync_kill import HOLD_LOCK, every_row_has_its_bytes
from tests.servers.dovecot import Dovecot
from tests.servers.site import ROOT, environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
FOLDERS = ("INBOX", "Other")
ROUNDS = 14
FAULTS = ("worker", "worker", "sleep", "sleep", "parser", "server", "mail", "renumber", "database")
WORKER = """
import django, sys
django.setup()
from mailbox.sync import folder_sync as sync
print("begun", flush=True)
while any([sync.sync(int(sys.argv[1]), folder=name, max_messages=50).more_waiting for name in ("INBOX", "Other")]):
    pass
"""


class Chaos:
    """One account, its server, and what may happen to them."""

    def __init__(self, dovecot: Dovecot, account: Account, seed: int) -> None:
        self.dovecot, self.account, self.chance, self.number = dovecot, account, random.Random(seed), 0
        self.dates: dict[bytes, datetime] = {}
        dovecot.create_folder(account.email, "Other")
        for folder in FOLDERS:
            self.arrive(200, folder)

    def arrive(self, count: int, folder: str = "") -> None:
        folder = folder or self.chance.choice(FOLDERS)
        bodies = []
        for _ in range(count):
            self.number += 1
            raw = mail(self.number, body=f"Word {self.number}. " * self.chance.choice((1, 50, 3000)))
            self.dates[raw] = WHEN + timedelta(minutes=self.number)
            bodies.append((raw, (), self.dates[raw]))
        self.dovecot.append_many(self.account.email, folder, bodies)

    def go(self) -> None:
        folder = self.chance.choice(FOLDERS)
        uids = sorted(self.dovecot.flags(self.account.email, folder))
        if len(uids) > 20:
            self.dovecot.expunge(self.account.email, folder, ",".join(map(str, self.chance.sample(uids, 5))))
            some = ",".join(map(str, self.chance.sample(uids, 9)))
            self.dovecot.store(self.account.email, folder, some, self.chance.choice(("\\Seen", "\\Flagged")))

    def renumber(self) -> None:
        """The folder is made anew with what it held: another UIDVALIDITY."""
        held = list(self.dovecot.messages(self.account.email, "Other").values())
        with self.dovecot.login(self.account.email) as connection_:
            connection_.delete("Other")
            connection_.create("Other")
        mails = [(raw, (), self.dates[raw]) for raw in held]
        try:
            self.dovecot.append_many(self.account.email, "Other", mails)
        except RuntimeError as error:  # Dovecot had the former folder in mind still, which the worker has open
            assert "deleted under us" in str(error)
            self.dovecot.append_many(self.account.email, "Other", mails)

    def a_run(self) -> str:
        """A worker begins, and something happens at any moment of it; returns what."""
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(self.account.pk)],
            env=environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert worker.stdout
        worker.stdout.readline()
        what = self.chance.choice(FAULTS)
        moment = self.chance.random() ** 2 * 2  # most things happen early
        try:
            try:
                worker.wait(moment)
                what += " (late)"
            except subprocess.TimeoutExpired:
                self.hit(what, worker)
            worker.wait(60)
        finally:
            worker.kill()
            worker.wait()
        Lease.objects.all().delete()
        later = timezone.now() - timedelta(seconds=1)
        SyncState.objects.update(next_allowed_at=later)
        return what

    def take_over(self) -> None:
        """What another worker does. One that sleeps in the middle of a write keeps all others from writing, as it does
        the cluster's: no more comes of it than a turn that fails."""
        wait_for_locks("5s")
        try:
            Lease.objects.all().delete()
            folder_sync.sync(self.account.pk, self.chance.choice(FOLDERS), max_messages=self.chance.choice((20, 500)))
        except OperationalError as error:
            if not any(words in str(error) for words in ("database is locked", "lock timeout")):
                raise
        finally:
            wait_for_locks("0")

    def hit(self, what: str, worker: subprocess.Popen[bytes]) -> None:
        if what == "worker":
            worker.kill()
        elif what == "sleep":  # until another worker has taken over, and been stopped in its turn, or is done
            worker.send_signal(signal.SIGSTOP)
            try:
                self.take_over()
            finally:
                worker.send_signal(signal.SIGCONT)
        elif what == "parser":
            for pid in children(worker.pid):
                os.kill(pid, signal.SIGKILL)
        elif what == "server":
            self.dovecot.kill()
            self.dovecot.start()
        elif what == "mail":
            self.arrive(5)
            self.go()
        elif what == "renumber":
            self.renumber()
        elif connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        else:
            lock_for(8)


def wait_for_locks(time: str) -> None:
    """On PostgreSQL, where one waits for a row for ever ("0") unless told; SQLite gives up by itself."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{time}'")


def lock_for(seconds: float) -> None:
    """Longer than a worker waits for it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(connection.settings_dict["NAME"])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdin and holder.stdout
    holder.stdin.write(b"lock\n")
    holder.stdin.flush()
    try:
        holder.wait(seconds)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1").split(",")])
def test_whatever_is_killed_nothing_is_lost(make_account: Callable[..., Account], dovecot: Dovecot, seed: int) -> None:
    account = make_account()
    chaos = Chaos(dovecot, account, seed)
    happened = []
    for _ in range(ROUNDS):
        happened.append(chaos.a_run())
        assert every_row_has_its_bytes(), happened
        let_go_on(account.pk)
        chaos.arrive(chaos.chance.choice((1, 3, 60)))
        chaos.go()
    for folder in FOLDERS:
        for _ in range(12):
            outcome = folder_sync.sync(account.pk, folder=folder)
            let_go_on(account.pk)
            if outcome.ok and not outcome.more_waiting:
                break
    assert stored(account) == on_server(dovecot, account, *FOLDERS), happened
    assert not Quarantine.objects.open().exists(), happened
