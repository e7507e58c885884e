"""A real worker process, killed with SIGKILL at an exact instant: what is known is recovered, the rest is asked."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver, recovery
from outbox.models import OutboxMessage
from tests.rows import newest_attempt
from tests.servers.forked import Forked
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Hold

pytestmark = pytest.mark.django_db(transaction=True)
WORKER = """
import django, sys
django.setup()
{patch}
from outbox.delivery import deliver as delivery
delivery.deliver_account(int(sys.argv[1]))
"""
# Where in our own code the process ends itself, for instants that the server cannot see.
STOP = """
from outbox.delivery import claims, finalization
from outbox.delivery import sender
import inspect, os, signal
step = {step}
def stop(*args, **kwargs):
    {before}answer = step(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
async def stop_awaited(*args, **kwargs):
    answer = await step(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
{step} = stop_awaited if inspect.iscoroutinefunction(step) else stop
"""


def run_worker(account_id: int, patch: str = "") -> Forked:
    return Forked(WORKER.format(patch=patch), account_id)


def queued(account: Account) -> OutboxMessage:
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


def an_hour_later(row: OutboxMessage) -> None:
    """Every lease has lapsed: recover, and deliver what is due, as the sweep would."""
    now = timezone.now() + timedelta(hours=1)
    recovery.recover(now)
    deliver.deliver_account(row.account_id, clock=lambda: now + timedelta(seconds=1))
    row.refresh_from_db()


@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT"])
@pytest.mark.in_part(2)
def test_killed_before_data_the_mail_goes_out_once(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], command: str
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(command, hold, times=1)
    row = queued(account_on(server))
    worker = run_worker(row.account_id)
    assert hold.reached.wait(30)

    worker.kill()
    worker.wait()
    hold.release()
    row.refresh_from_db()
    assert row.status == "sending"
    an_hour_later(row)

    assert (row.status, row.retries, len(server.mails())) == ("sent", 0, 1)
    assert [attempt.outcome for attempt in row.attempts.all()] == ["abandoned", "accepted"]


@pytest.mark.parametrize("step", ["claims.claim_next", "sender.Sender.commit_dot", "sender.Sender.settle"])
def test_killed_after_a_commit_of_ours_nothing_is_lost_or_doubled(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], step: str
) -> None:
    server = smtp_server("tls")
    row = queued(account_on(server))

    assert run_worker(row.account_id, STOP.format(step=step, before="")).wait(60) == -signal.SIGKILL
    an_hour_later(row)

    sent = len(server.mails())
    assert (row.status, row.hold, sent) == {
        "claims.claim_next": ("sent", "", 1),
        "sender.Sender.commit_dot": ("failed", "uncertain", 0),  # a person decides: nobody but the server knows
        "sender.Sender.settle": ("sent", "", 1),
    }[step]


def test_killed_between_the_answer_and_its_finalize_a_person_is_asked(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("tls")
    row = queued(account_on(server))
    patch = STOP.format(step="finalization.finalize", before="os.kill(os.getpid(), signal.SIGKILL)\n    ")

    assert run_worker(row.account_id, patch).wait(60) == -signal.SIGKILL
    an_hour_later(row)

    assert (row.status, row.hold, row.retries, len(server.mails())) == ("failed", "uncertain", 0, 1)
    assert api.mark_as_sent(row.pk, newest_attempt(row.pk), user=None).ok
    row.refresh_from_db()
    assert (row.status, row.provider_message_id) == ("sent", f"<outbox-{row.pk}-0@prx-email.local>")


def test_killed_while_the_server_thinks_about_the_final_dot_a_person_is_asked(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server, hold = smtp_server("tls"), Hold()
    server.on(".", hold, times=1)
    row = queued(account_on(server))
    worker = run_worker(row.account_id)
    assert hold.reached.wait(30)

    worker.kill()
    worker.wait()
    hold.release()
    an_hour_later(row)

    assert (row.status, row.hold) == ("failed", "uncertain")
