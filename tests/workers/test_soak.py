"""Two clusters at work while something breaks each minute: nothing is lost or doubled, and what lives on does not grow.

SOAK_MINUTES=480 makes the night of it by hand.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mailbox import schedules
from mailbox.models import Account, Message
from mailbox.queueing import queue
from outbox import api
from outbox.models import OutboxMessage
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import Cluster
from tests.servers.smtp import Reply, SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
MINUTES = int(os.environ.get("SOAK_MINUTES", "20"))
SENT, RECEIVED = 20, 10  # a minute


class Soak:
    """`steady` lives from the beginning to the end; `other` is what is killed."""

    def __init__(self, start: Callable[..., Cluster], relay: SmtpServer, dovecot: Dovecot) -> None:
        self.start, self.relay, self.dovecot = start, relay, dovecot
        self.steady, self.other = start(), start()

    def faults(self) -> Iterator[Callable[[], None]]:
        return itertools.cycle(
            [self.kill_a_worker, self.stop_relay, self.kill_cluster, self.refuse, self.stop_dovecot, self.freeze]
        )

    def kill_a_worker(self) -> None:
        with suppress(ProcessLookupError, IndexError):
            os.kill(self.other.pids()[-1], signal.SIGKILL)

    def kill_cluster(self) -> None:
        self.other.kill()
        self.other = self.start()

    def freeze(self) -> None:
        with suppress(ProcessLookupError, IndexError):
            os.kill(self.other.pids()[-1], signal.SIGSTOP)  # the cluster replaces it

    def stop_relay(self) -> None:
        self.relay.stop()
        self.relay.start()

    def refuse(self) -> None:
        self.relay.on("RCPT", Reply("451 4.3.0 not now"), times=5)

    def stop_dovecot(self) -> None:
        self.dovecot.stop()
        self.dovecot.start()


def held(pids: list[int]) -> tuple[int, int]:
    """Bytes of memory and descriptors of these processes, each by the mean: their number may differ."""
    memory, files, count = 0, 0, 0
    for pid in pids:
        with suppress(OSError):
            memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            files += len(os.listdir(f"/proc/{pid}/fd"))
            count += 1
    return memory // count, files // count


def subject(number: int) -> str:
    return f"soak {number}"


@pytest.fixture
def accounts(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], dovecot: Dovecot
) -> tuple[list[Account], SmtpServer]:
    relay = smtp_server("tls")
    trusted = {"imap_port": dovecot.imap_port, "ca_certificate": dovecot.ca_pem + relay.ca_pem, "sent_copy": "never"}
    return [account_on(relay, **trusted) for _ in range(2)], relay


def a_minute(number: int, accounts: list[Account], dovecot: Dovecot) -> None:
    """What is written and comes in it."""
    for each in range(SENT):
        account = accounts[each % len(accounts)]
        assert api.queue(account.pk, "bob@example.test", subject(number * SENT + each), "A text.").data
    for account in accounts:
        mails = [(letter(f"in {number} {each}"), (), None) for each in range(RECEIVED)]
        dovecot.append_many(account.email, "INBOX", mails)


def test_nothing_is_lost_doubled_or_grows_while_something_breaks_each_minute(
    accounts: tuple[list[Account], SmtpServer], start_workers: Callable[..., Cluster], dovecot: Dovecot
) -> None:
    (senders, relay), begun, measured = accounts, time.monotonic(), list[tuple[int, int]]()
    schedules.make_schedules()
    soak = Soak(start_workers, relay, dovecot)
    faults = soak.faults()
    for number in range(MINUTES):
        a_minute(number, senders, dovecot)
        next(faults)()
        queue("mailbox.tasks.sync_tick", group="sync")
        wait_until(lambda n=number: time.monotonic() > begun + 60 * (n + 1), seconds=120, what="the minute's end")  # type: ignore[misc]
        measured.append(held(soak.steady.pids()))
    left = OutboxMessage.objects.exclude(status="sent").exclude(hold="uncertain")
    wait_until(lambda: not left.exists(), seconds=900, what="all mail to be sent")
    expected = MINUTES * RECEIVED * len(senders)
    wait_until(lambda: Message.objects.count() >= expected, seconds=300, what="all mail to be fetched")
    took = Counter(mail.raw.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for mail in relay.mails())
    uncertain = set(OutboxMessage.objects.filter(hold="uncertain").values_list("subject", flat=True))
    assert set(took) | uncertain == {subject(number) for number in range(MINUTES * SENT)}
    assert max(took.values()) == 1 and Message.objects.count() == expected
    assert soak.steady.process.poll() is None, soak.steady.log()[-3000:]
    print([f"{memory >> 20} MB, {files} files" for memory, files in measured], f"{len(uncertain)} uncertain")
    early, late = measured[len(measured) // 4], measured[-1]
    assert late[0] <= early[0] * 1.25 and late[1] <= early[1] + 5, measured
