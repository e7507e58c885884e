"""Processes are killed while hostile mail comes in: all mail comes, of other accounts too, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailbox.models import Account, Lease, Message, MessagePlace, Quarantine
from mailbox.storage import raw_store
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.messages.test_hostile_messages import HOSTILE
from tests.mailbox.mime.hostile_structure import MADE
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.kept_cluster import KeptCluster
from tests.servers.ports import wait_until
from tests.servers.site import Cluster

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes, pytest.mark.long]
WORKERS = 3
PLAIN = 30  # mails of the account beside
KILLS = 6


@pytest.fixture
def kept(transactional_db: None, tmp_path: Path) -> Iterator[KeptCluster]:
    if not Path("/proc/self/syscall").exists():
        pytest.skip("Only Linux tells what a process waits for.")
    started: list[Cluster] = []
    (tmp_path / "scratch").mkdir()

    def start() -> Cluster:
        settings = {"PRX_EMAIL_CLUSTER_SILENT_SECONDS": "10", "PRX_EMAIL_WORKERS": str(WORKERS)}
        log = tmp_path / f"cluster-{len(started)}.log"
        started.append(Cluster(log, TMPDIR=str(tmp_path / "scratch"), **settings))
        return started[-1]

    kept = KeptCluster(start, WORKERS)
    yield kept
    for cluster in started:
        cluster.kill()


def hostile_mails() -> list[bytes]:
    mails = [*HOSTILE.values(), *(make(300_000) for make in MADE.values())]
    return [b"Message-ID: <%d@hostile.example>\r\n" % number + raw for number, raw in enumerate(mails)]


@pytest.mark.parametrize("seed", range(3))
def test_all_of_it_comes_and_nothing_is_left(
    kept: KeptCluster, make_account: Callable[..., Account], dovecot: Dovecot, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    mark = secrets.token_hex(4)
    accounts = hostile, beside = [make_account(f"{name}-{mark}@example.test") for name in ("hostile", "beside")]
    mails = hostile_mails()
    for raw in mails:
        dovecot.append(hostile.email, "INBOX", raw)
    for number in range(PLAIN):
        dovecot.append(beside.email, "INBOX", letter(f"Mail {number}"))
    kept.begin()

    def places() -> int:
        return MessagePlace.objects.count()

    def ask() -> None:
        kept.go_on()
        for account in accounts:
            sync_tasks.queue_sync(account.pk, None)

    killed = 0
    for step in range(KILLS):
        ask()
        there = min(places(), (step + 1) * (len(mails) + PLAIN) // (KILLS + 2))
        with contextlib.suppress(TimeoutError):  # what was killed holds its account for half a minute
            wait_until(lambda there=there: places() > there, seconds=20, what="more mail")
        if alive := kept.cluster.pids():
            os.kill(dice.choice(alive), signal.SIGKILL)
            killed += 1
    assert killed

    def is_all_there() -> bool:
        kept.go_on()
        if not Lease.objects.exists() and places() < len(mails) + PLAIN:
            ask()
        return places() == len(mails) + PLAIN and not Lease.objects.exists()

    wait_until(is_all_there, seconds=240, what="all mail, and no lease")
    assert Message.objects.filter(account=beside).count() == PLAIN
    assert not Quarantine.objects.open().exists()
    for digest in Message.objects.values_list("raw_digest", flat=True):
        assert raw_store.digest_of(raw_store.open_raw(digest)) == digest
    kept.cluster.stop()
    assert not list((tmp_path / "scratch").iterdir())
