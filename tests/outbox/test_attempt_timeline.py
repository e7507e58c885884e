"""The time line of an attempt shows how far it came: connect, tls, auth, mail, rcpt, data, dot, accepted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import recovery
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.views.mail.attempt_timeline import steps_of
from tests.outbox.delivery.kill_instants import WORKER
from tests.servers.forked import Forked
from tests.servers.smtp import SmtpServer


def drawn(phase: str, outcome: str, *transcript: object) -> dict[str, str]:
    made = DeliveryAttempt(phase=phase, outcome=outcome, transcript=list(transcript))
    return {step.label: step.reached.value for step in steps_of(made) if step.reached}


OPENED = {"connect": "reached", "tls": "reached", "auth": "reached"}


def test_the_end_of_the_mail_is_a_step_of_its_own() -> None:
    through = OPENED | dict.fromkeys(("mail", "rcpt"), "reached")
    assert drawn("data", "transient") == through | {"data": "stopped"}
    assert drawn("dot", "") == through | {"data": "reached", "dot": "reached"}
    assert drawn("dot", "uncertain") == through | {"data": "reached", "dot": "stopped"}


def test_where_each_step_waits_for_the_one_before_the_phase_alone_tells() -> None:
    assert drawn("claim", "abandoned") == {}
    assert drawn("tls", "transient") == {"connect": "reached", "tls": "stopped"}
    assert drawn("rcpt", "permanent", "an entry of another kind") == OPENED | {"mail": "reached", "rcpt": "stopped"}
    through = dict.fromkeys(("mail", "rcpt", "data", "dot", "accepted"), "reached")
    assert drawn("accepted", "accepted") == drawn("accepted", "partial") == OPENED | through


def read_out(client: Client, row: OutboxMessage) -> str:
    """The steps as they are read, to the eye and to a screen reader."""
    page = unescape(client.get(reverse("outbox:detail", args=[row.pk])).content.decode())
    return page.partition('<ol class="steps"')[2].partition("</ol>")[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("instant", "last"),
    [("at(sender.Sender, 'commit_dot', 'after', 1)", "dot"), ("at(sender.Sender, 'commit_dot', 'before', 1)", "auth")],
)
def test_of_a_real_worker_that_is_killed_the_page_shows_the_last_step_that_was_written_down(
    operator: Client,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    instant: str,
    last: str,
) -> None:
    account = account_on(smtp_server("tls", pipelining=True))
    assert api.queue(account.pk, "u@example.test", "Mail", "A text.").ok
    assert Forked(WORKER.format(instant=instant, grace=60), account.pk).wait() == -9
    recovery.recover(timezone.now() + timedelta(hours=1))
    row = OutboxMessage.objects.get()
    assert row.hold == ("uncertain" if last == "dot" else "")
    steps = read_out(operator, row)
    assert f'{last}<span class="visually-hidden">: stopped here' in steps
