"""How often a person is asked, measured: connections that break at random, workers that die at random.

Each is a count that docs/benchmarks.md names, and the promise beside it: nothing lost, nothing doubled.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from mailbox.models import Account, Lease
from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.delivery import deliver, recovery
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.servers.forked import Forked
from tests.servers.resetting_proxy import ResettingProxy
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
FORMER_QUESTIONS = 54  # of these 200 mails, when "data" was committed before DATA
WORKER = """
import django, sys
django.setup()
from datetime import timedelta
from django.utils import timezone
from outbox.delivery import deliver
deliver.deliver_account(int(sys.argv[1]), clock=lambda: timezone.now() + timedelta(seconds=int(sys.argv[2])))
"""


def queue(account: Account, size: int, number: int) -> int:
    """A mail of about so many bytes."""
    file = AttachmentInput("a.pdf", "application/pdf", content=os.urandom(max(0, size * 3 // 4 - 300)))
    response = api.queue(account.pk, f"u{number}@example.test", f"Mail {number}", "A text.", file)
    assert response.data, response
    return response.data.outbox_id


def copies_of(server: SmtpServer, rows: Sequence[OutboxMessage]) -> dict[int, int]:
    """Row -> its mails in the sink, whatever the try; recipients are one row's own."""
    found = [mail.rcpt_tos[0] for mail in server.mails()]
    return {row.pk: found.count(row.recipients.get().address) for row in rows}


def questions_among(server: SmtpServer) -> tuple[int, int]:
    """(questions, those of them that were taken); nothing else is left, and nothing is lost or doubled."""
    rows = list(OutboxMessage.objects.order_by("pk"))
    copies = copies_of(server, rows)
    asked = [row for row in rows if row.hold == OutboxMessage.Hold.UNCERTAIN]
    assert [row.pk for row in rows if row not in asked and (row.status, copies[row.pk]) != ("sent", 1)] == []
    assert max(copies.values()) == 1
    return len(asked), sum(copies[row.pk] for row in asked)


def wait_for_a_claim(workers: Sequence[Forked]) -> None:
    """Until one of them has begun; to start takes longer than to send on a machine that is busy."""
    while not OutboxMessage.objects.sending().exists() and any(worker.poll() is None for worker in workers):
        time.sleep(0.002)


@pytest.fixture
def proxied(smtp_server: Start) -> Iterator[tuple[SmtpServer, ResettingProxy]]:
    server = smtp_server("tls", pipelining=True)
    proxy = ResettingProxy(server.port, mean_bytes=60_000, seed=16)
    yield server, proxy
    proxy.stop()


def test_of_200_mails_through_connections_that_break_at_random_few_are_questions(
    account_on: Accounts, proxied: tuple[SmtpServer, ResettingProxy], settings: Settings
) -> None:
    server, proxy = proxied
    settings.OUTBOX_GIVE_UP_DAYS = 10_000
    accounts, sizes = [account_on(server, smtp_port=proxy.port) for _ in range(3)], random.Random(16)
    for number in range(200):
        queue(accounts[number % 3], int(sizes.uniform(200, 150_000)), number)

    late = timedelta()
    for _ in range(2000):
        if not OutboxMessage.objects.filter(status__in=("pending", "failed"), hold="").exists():
            break
        late += timedelta(hours=2)  # beyond each wait
        for account in accounts:
            deliver.deliver_account(account.pk, clock=lambda late=late: timezone.now() + late)  # type: ignore[misc]

    questions, taken = questions_among(server)
    print(f"{proxy.resets} resets, {questions} questions, {taken} of them taken")
    assert questions <= FORMER_QUESTIONS / 5 and proxy.resets > 200


def test_of_300_mails_whose_workers_are_killed_at_random_all_that_needs_no_person_is_settled_within_a_minute(
    account_on: Accounts, smtp_server: Start, tmp_path: Path
) -> None:
    """44 times SIGKILL: of one worker, or of all three at once. A sweep comes each 30 s and the rest is leases: what a
    sweep finds 29 s after a death is free."""
    server = smtp_server("tls", pipelining=True, folder=tmp_path)
    accounts, chance = [account_on(server) for _ in range(3)], random.Random(44)
    late = kills = number = 0
    while kills < 44:
        for _ in range(7):
            queue(accounts[number % 3], int(chance.uniform(200, 150_000)), number)
            number += 1
        workers = [Forked(WORKER, account.pk, late) for account in accounts]
        wait_for_a_claim(workers)
        time.sleep(chance.uniform(0, 0.3))  # the instant is what is random here
        victims = workers if kills % 2 else [chance.choice(workers)]
        for worker in victims:
            worker.kill()
        for worker in workers:
            worker.wait(60)
        kills += 1
        late += 29
        recovery.recover(timezone.now() + timedelta(seconds=late))
        assert not OutboxMessage.objects.sending().exists(), f"after kill {kills}"
    for _ in range(2):
        late += 30
        recovery.recover(timezone.now() + timedelta(seconds=late))
        Lease.objects.filter(purpose=Lease.Purpose.SEND).delete()
        for account in accounts:
            deliver.deliver_account(account.pk, clock=lambda late=late: timezone.now() + timedelta(seconds=late))  # type: ignore[misc]

    questions, taken = questions_among(server)
    begun = DeliveryAttempt.objects.filter(outcome=DeliveryAttempt.Outcome.ABANDONED).count()
    print(f"{kills} kills, {begun} in an attempt, {number} mails, {questions} questions, {taken} of them taken")
    assert number >= 300
