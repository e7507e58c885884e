"""The time line of an attempt shows what was answered, and never takes what was said for what was heard."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import recovery
from outbox.models import DeliveryAttempt, OutboxMessage
from outbox.views.attempt_timeline import steps_of
from tests.outbox.delivery.test_kill_matrix import WORKER
from tests.rows import NOWHERE, attempt, outbox_row
from tests.servers.forked import Forked
from tests.servers.smtp import SmtpServer

MAIL, RCPT = {"phase": "mail", "reply": "250 2.1.0 Ok"}, {"phase": "rcpt", "reply": "250 2.1.5 Ok"}
NO_SUCH_USER = {"phase": "rcpt", "reply": "550 5.1.1 No such user"}


def drawn(phase: str, outcome: str, *transcript: object) -> dict[str, str]:
    made = DeliveryAttempt(phase=phase, outcome=outcome, transcript=list(transcript))
    return {step.label: step.reached.value for step in steps_of(made) if step.reached}


OPENED = {"connect": "reached", "tls": "reached", "auth": "reached"}


def test_a_worker_that_was_killed_after_data_has_heard_nothing() -> None:
    unheard = {"mail": "unanswered", "rcpt": "unanswered"}
    assert drawn("data", "uncertain") == OPENED | unheard | {"data": "stopped"}


def test_while_the_attempt_goes_on_what_it_has_heard_is_not_written_yet_and_nothing_is_missing() -> None:
    assert drawn("data", "") == OPENED | {"mail": "said", "rcpt": "said", "data": "reached"}
    assert drawn("data", "", MAIL, RCPT) == OPENED | {"mail": "reached", "rcpt": "reached", "data": "reached"}


def test_a_connection_that_ended_between_the_answers_has_given_one_of_them() -> None:
    assert drawn("data", "uncertain", MAIL) == OPENED | {"mail": "reached", "rcpt": "unanswered", "data": "stopped"}


def test_answers_that_were_heard_before_data_are_drawn_as_heard() -> None:
    both = {"mail": "reached", "rcpt": "reached"}
    assert drawn("data", "uncertain", MAIL, RCPT) == OPENED | both | {"data": "stopped"}
    assert drawn("data", "uncertain", MAIL, NO_SUCH_USER, RCPT) == OPENED | both | {"data": "stopped"}


def test_a_recipient_who_was_refused_although_the_mail_was_written_is_not_drawn_as_taken() -> None:
    refused = {"mail": "reached", "rcpt": "refused"}
    assert drawn("data", "uncertain", MAIL, NO_SUCH_USER) == OPENED | refused | {"data": "stopped"}


def test_where_each_step_waits_for_the_one_before_the_phase_alone_tells() -> None:
    assert drawn("claim", "abandoned") == {}
    assert drawn("tls", "transient") == {"connect": "reached", "tls": "stopped"}
    assert drawn("rcpt", "permanent", "an entry of another kind") == OPENED | {"mail": "reached", "rcpt": "stopped"}
    through = dict.fromkeys(("mail", "rcpt", "data", "accepted"), "reached")
    assert drawn("accepted", "accepted") == drawn("accepted", "partial") == OPENED | through


@pytest.fixture
def operator(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("operator"))
    return client


def read_out(client: Client, row: OutboxMessage) -> str:
    """The steps as they are read, to the eye and to a screen reader."""
    page = unescape(client.get(reverse("outbox:detail", args=[row.pk])).content.decode())
    return page.partition('<ol class="steps"')[2].partition("</ol>")[0]


@pytest.mark.django_db
def test_the_page_says_in_words_that_no_answer_was_seen(operator: Client, make_account: Callable[..., Account]) -> None:
    row = outbox_row(make_account("ops@example.com", **NOWHERE), "Cut off", status="failed", hold="uncertain")
    attempt(row, phase="data", outcome="uncertain", data_at=timezone.now(), transcript=[MAIL])
    steps = read_out(operator, row)
    assert '<li class="unanswered"><span class="dot" aria-hidden="true"></span>rcpt: no answer seen</li>' in steps
    assert steps.count("no answer seen") == 1 and "data<span" in steps and ": stopped here" in steps


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_that_is_killed_after_one_write_leaves_two_steps_without_an_answer(
    operator: Client, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    account = account_on(smtp_server("tls", pipelining=True, chunking=True))
    for n in range(2):  # the second goes in one write
        assert api.queue(account.pk, f"u{n}@example.test", f"Mail {n}", "A text.").ok
    instant = "at(sender.Sender, 'prepare_following', 'before', 2)"
    code = WORKER.format(instant=instant, grace=60, alone=False)
    assert Forked(code, account.pk).wait() == -9
    recovery.recover(timezone.now() + timedelta(hours=1))
    row = OutboxMessage.objects.needs_decision().get()
    assert read_out(operator, row).count(": no answer seen") == 2
