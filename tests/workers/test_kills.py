"""Whatever is killed in a cluster, within 90 s it works again, or has ended with a status and all its children."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django_q.tasks import async_task

from mailbox.models import Account
from outbox import api
from tests.servers.kept_cluster import ROLES, KeptCluster
from tests.servers.ports import wait_until
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]
LONG = pytest.mark.long
Accounts = Callable[..., Account]
KILL, TERM, STOP = signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP
SILENT_SECONDS = "10"
WORKERS = 3


class Mails:
    """Mail to a sink, which tells that workers work."""

    def __init__(self, account: Account, server: SmtpServer) -> None:
        self._account, self._server, self._sent = account, server, 0

    def queue(self) -> None:
        """Where a stopped process holds SQLite's lock, nothing is queued before the cluster has ended that process."""
        self._sent += 1
        told = ("bob@example.test", f"Mail {self._sent}", "A text.")
        wait_until(lambda: api.queue(self._account.pk, *told).ok, seconds=90, what="a database that can be written")

    def have_arrived(self) -> bool:
        return len(self._server.mails()) == self._sent


@pytest.fixture
def mails(account_on: Accounts, smtp_server: Callable[..., SmtpServer]) -> Mails:
    server = smtp_server("tls")
    return Mails(account_on(server), server)


@pytest.fixture
def kept(transactional_db: None, tmp_path: Path) -> Iterator[KeptCluster]:
    if not Path("/proc/self/syscall").exists():
        pytest.skip("Only Linux tells what a process waits for.")
    started: list[Cluster] = []

    def start() -> Cluster:
        limits = {"PRX_EMAIL_CLUSTER_SILENT_SECONDS": SILENT_SECONDS, "PRX_EMAIL_WORKERS": str(WORKERS)}
        started.append(Cluster(tmp_path / f"cluster-{len(started)}.log", **limits))
        return started[-1]

    kept = KeptCluster(start, WORKERS)
    yield kept
    for cluster in started:
        cluster.kill()


def prepare(kept: KeptCluster, role: str = "", *, task_seconds: float = 600) -> None:
    kept.begin()
    if role == "busy":
        async_task("time.sleep", task_seconds)
        kept.pid("busy")


@pytest.mark.parametrize(
    ("role", "number"),
    [
        pytest.param("idle", KILL, id="the idle worker that holds the queue's lock is killed"),
        pytest.param("monitor", KILL, id="the monitor that holds the results' lock is killed", marks=LONG),
        pytest.param("idle", STOP, id="the idle worker that holds the queue's lock is stopped", marks=LONG),
        *(
            pytest.param(role, number, id=f"{role} {number.name}", marks=LONG)
            for role in ROLES
            for number in (KILL, TERM, STOP)
            if (role, number) not in {("idle", KILL), ("monitor", KILL), ("idle", STOP), ("parent", TERM)}
        ),
    ],
)
def test_mail_goes_out_after_a_signal_to_one_process(
    kept: KeptCluster, mails: Mails, role: str, number: signal.Signals
) -> None:
    prepare(kept, role)
    os.kill(kept.pid(role), number)
    mails.queue()
    kept.wait_for_work(mails.have_arrived)


def test_a_dead_sentinel_ends_the_cluster_with_a_status(kept: KeptCluster) -> None:
    kept.begin()
    os.kill(kept.sentinel(), KILL)
    assert kept.end(30) == 75


@pytest.mark.long
def test_a_parent_that_is_stopped_is_ended_and_all_with_it(kept: KeptCluster) -> None:
    kept.begin()
    os.kill(kept.cluster.pid, STOP)
    assert kept.end(60) == -KILL


@pytest.mark.long
def test_sigterm_to_the_whole_group_lets_the_task_under_way_finish(kept: KeptCluster, tmp_path: Path) -> None:
    kept.begin()
    async_task("subprocess.call", ["sh", "-c", f"touch {tmp_path}/begun; sleep 3; touch {tmp_path}/finished"])
    wait_until((tmp_path / "begun").exists, seconds=30, what="the task")
    kept.signal_group(TERM)
    assert kept.end(60) == 0, kept.cluster.log()
    assert (tmp_path / "finished").exists()


@pytest.mark.long
def test_a_stop_of_a_cluster_that_hangs_has_an_end(kept: KeptCluster) -> None:
    kept.begin()
    os.kill(kept.pid("idle"), KILL)
    os.kill(kept.cluster.pid, TERM)
    assert kept.end(60) == 75


@pytest.mark.long
@pytest.mark.parametrize("number", [KILL, STOP])
def test_mail_goes_out_after_a_signal_to_the_group(kept: KeptCluster, mails: Mails, number: signal.Signals) -> None:
    kept.begin()
    kept.signal_group(number)
    mails.queue()
    kept.wait_for_work(mails.have_arrived)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100))
def test_mail_goes_out_after_a_random_sequence(kept: KeptCluster, mails: Mails, seed: int) -> None:
    dice = random.Random(seed)
    prepare(kept, "busy", task_seconds=20)  # where the parent is told to stop, the task may end: a drain waits for it
    victims = [(dice.choice(ROLES), dice.choice([KILL, TERM, STOP])) for _ in range(dice.randint(2, 5))]
    for pid, number in [(kept.pid(role), number) for role, number in victims]:
        with suppress(ProcessLookupError):  # all are found first: the second may be gone by the first's signal
            os.kill(pid, number)
    # A stop that was asked for is no end that anybody takes up again.
    if ("parent", TERM) in victims:
        assert kept.end(90) in (0, 75, -KILL)
        return
    mails.queue()
    kept.wait_for_work(mails.have_arrived)
