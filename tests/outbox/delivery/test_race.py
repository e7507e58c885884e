"""Four clusters on one database, each a machine with a wrong clock, and leases that run out in the middle of a mail."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from mailbox.models import Account
from outbox import api
from outbox.delivery import recovery
from outbox.models import DeliveryAttempt, OutboxMessage, SendingSwitch
from tests.servers.site import Cluster
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Fault

pytestmark = pytest.mark.django_db(transaction=True)
Accounts = Callable[..., Account]
LEASE = 0.4  # seconds; what is slow takes three times that
MEETING = 45  # seconds, at most, that an answer waits for other machines: less than they wait for an answer
PROCESSES = 6  # of a cluster: itself, its sentinel, its pusher, its monitor, two workers
SKEWS = {"ahead": 2.0, "true": 0.0, "behind": -2.0, "a-little-ahead": 0.3}


class Race:
    """The clusters, and what goes on beside them.

    No mail is answered before so many `machines` have begun one. Each has two workers of two accounts each, so that
    those who came first hold a part of the accounts until the others are there, however slow they are.
    """

    def __init__(self, folder: Path, server: SmtpServer, machines: int) -> None:
        self.folder, self.server, self.machines = folder, server, machines
        self.met = threading.Event()
        self.clusters: dict[str, Cluster] = {}
        self.logs: list[Path] = []
        server.folder = folder / "taken"
        server.folder.mkdir()

    def start(self, name: str) -> None:
        log = self.folder / f"{name}-{len(self.logs)}.log"
        self.logs.append(log)
        command = ["-m", "tests.servers.skewed_cluster", name, str(SKEWS[name]), str(LEASE)]
        # None waits for a place of the others.
        more = {"PRX_EMAIL_WORKERS": "2", "PRX_EMAIL_OUTBOX_COURIERS": "16", "PRX_EMAIL_OUTBOX_SESSIONS": "2"}
        self.clusters[name] = Cluster(log, command=command, **more)

    def log(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in self.logs)

    @contextmanager
    def running(self) -> Iterator[None]:
        """All four, with a sweep and a delivery worker again and again, as their own clocks would bring them."""
        over = threading.Event()

        def sweep() -> None:
            while not over.wait(0.25):
                try:
                    async_task("outbox.tasks.sweep")
                    async_task("outbox.tasks.deliver")
                    # Due for the clock that is behind, too: else it would come late for each of them.
                    now = timezone.now()
                    OrmQ.objects.filter(lock__lte=now).update(lock=now - timedelta(minutes=1))
                    if not self.met.is_set() and len(senders()) >= self.machines:
                        self.met.set()
                except OperationalError:  # SQLite's one writer had no turn for us
                    continue

        sweeper = threading.Thread(target=sweep)
        for name in SKEWS:
            self.start(name)
        try:
            self.wait_until_all_are_there()
            sweeper.start()
            yield
        finally:
            over.set()
            self.met.set()
            if sweeper.ident:
                sweeper.join()
            for cluster in self.clusters.values():
                cluster.stop()

    def wait_until_all_are_there(self) -> None:
        """Until then all sending is paused, or the first to start would take all."""
        until = time.monotonic() + 60
        while any(len(cluster.pids()) < PROCESSES for cluster in self.clusters.values()):
            assert time.monotonic() < until, self.log()
            time.sleep(0.1)
        SendingSwitch.objects.update(paused_at=None)

    def slow_down(self) -> None:
        """Now and then a recipient, or the final dot, takes longer than a lease; the first of each, until a sweep has
        found a lease that ran out before "dot", or after it."""
        asked, taken, answer = itertools.count(), itertools.count(), self.server.fault

        def fault(command: str, line: str) -> Fault | None:
            if command == "MAIL":
                self.met.wait(MEETING)
            elif command == "RCPT" and (n := next(asked)) % 7 == 3:
                self.outlast_a_lease("abandoned", is_first=n == 3)
            return answer(command, line)

        def deliver(mail: SinkMail) -> None:
            if (n := next(taken)) % 5 == 0:
                self.outlast_a_lease("uncertain", is_first=n == 0)

        self.server.fault, self.server.deliver = fault, deliver  # type: ignore[method-assign]

    def outlast_a_lease(self, outcome: str, *, is_first: bool) -> None:
        threading.Event().wait(3 * LEASE)
        until = time.monotonic() + MEETING
        while is_first and not self.lapsed(outcome) and time.monotonic() < until:
            time.sleep(0.1)

    def lapsed(self, outcome: str) -> bool:
        return any("claim_lapsed" in line and outcome in line for line in self.log().splitlines())

    def wait_for_the_end(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while OutboxMessage.objects.exclude(status="sent").filter(hold="").exists() and time.monotonic() < until:
            time.sleep(0.2)

    def compare(self, rows: int) -> Counter[tuple[str, str]]:
        """The sink's files with the rows, once every lease has lapsed."""
        recovery.recover(timezone.now() + timedelta(hours=1))
        copies, found = self.server.copies(), Counter[tuple[str, str]]()
        assert max(copies.values()) == 1, "a mail went out twice"
        for row in OutboxMessage.objects.all():
            taken = copies.pop(f"<outbox-{row.pk}-0@prx-email.local>", 0)
            found[row.status, row.hold] += 1
            if row.status == "sent":
                assert taken == 1, f"row {row.pk} is lost"
            elif row.hold != "uncertain":
                assert (row.hold, taken, row.retries) == ("", 0, 0) and row.status in ("pending", "failed"), row.pk
        assert sum(found.values()) == rows and not copies, (found, copies)
        return found


def senders() -> set[str]:
    """The machines that have begun an attempt."""
    return {worker.partition("/")[0] for worker in DeliveryAttempt.objects.values_list("worker", flat=True).distinct()}


def write(accounts: list[Account], rows: int) -> None:
    """They have waited for a minute, so that they are due by each clock."""
    SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": timezone.now()})
    for n in range(rows):
        assert api.queue(accounts[n % len(accounts)].pk, f"u{n}@example.test", f"Mail {n}", "A text.").ok
    OutboxMessage.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=1))


def the_race_was_one(race: Race, found: Counter[tuple[str, str]], rows: int) -> None:
    """Several clusters sent, and leases ran out in the middle, before "dot" and after it; or nothing was proved."""
    assert senders() <= set(SKEWS) and len(senders()) >= race.machines, senders()
    assert found["sent", ""] > rows / 2, found
    assert race.lapsed("abandoned") and race.lapsed("uncertain"), race.log()
    assert "Traceback" not in race.log(), race.log()


@pytest.mark.long
def test_clusters_whose_leases_run_out_send_nothing_twice(
    account_on: Accounts, smtp_server: Callable[..., SmtpServer], tmp_path: Path
) -> None:
    server = smtp_server("tls", pipelining=True)
    race = Race(tmp_path, server, machines=2)
    write([account_on(server) for _ in range(12)], 96)
    race.slow_down()
    with race.running():
        race.wait_for_the_end(120)
    the_race_was_one(race, race.compare(96), 96)


@pytest.mark.long
@pytest.mark.parametrize("pipelining", [True, False], ids=["PIPELINING", "one by one"])
def test_a_thousand_mails_are_raced_for_and_clusters_are_killed_meanwhile(
    account_on: Accounts, smtp_server: Callable[..., SmtpServer], tmp_path: Path, pipelining: bool
) -> None:
    server = smtp_server("starttls", pipelining=pipelining)
    race = Race(tmp_path, server, machines=3)
    write([account_on(server) for _ in range(16)], 1000)
    race.slow_down()
    with race.running():
        for name in ("true", "ahead", "behind", "true"):  # as by a power cut, and it comes back
            time.sleep(8)
            race.clusters[name].kill()
            race.start(name)
        race.wait_for_the_end(240)
    the_race_was_one(race, race.compare(1000), 1000)
