"""A server that fails at each mail of a queue: how long the rest waits, and how many of them become questions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account, Transport
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from outbox.smtp import mail_transaction, session
from tests.outbox.smtp.pipelined import queue
from tests.servers.certificates import Certificates
from tests.servers.odd_smtp import OddServer, Talk
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop, Fault, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_waits"), pytest.mark.wire]
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]


def at(now: datetime) -> Callable[[], datetime]:
    return lambda: now


def states(account: Account) -> list[tuple[str, str]]:
    return list(OutboxMessage.objects.filter(account=account).order_by("pk").values_list("status", "hold"))


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (Reply("421 4.7.0 Too many messages, slow down"), [60, 120, 240, 480, 900]),
        (Reply("421 4.3.2 Shutting down"), [60, 120, 240, 480, 900]),
        (Drop(), [10, 20, 40, 80, 160]),
    ],
    ids=repr,
)
def test_the_wait_grows_although_each_sign_in_succeeds_and_a_mail_that_is_accepted_ends_it(
    account_on: Accounts, smtp_server: Start, fault: Fault, waits: list[int]
) -> None:
    server = smtp_server("tls", pipelining=True)
    server.on("MAIL", fault)
    account, found = account_on(server), list[float]()
    queue(account, 1)
    now = timezone.now()
    for _ in waits:
        deliver.deliver_account(account.pk, clock=at(now))
        until = Transport.objects.get(pk=account.smtp_id).next_allowed_at
        assert until
        found.append((until - now).total_seconds())
        now = until + timedelta(seconds=1)
        OutboxMessage.objects.update(next_attempt_at=now)

    assert found == waits
    server.accept()
    deliver.deliver_account(account.pk, clock=at(now))
    smtp = Transport.objects.get(pk=account.smtp_id)
    assert states(account) == [("sent", "")] and (smtp.failure_count, smtp.failing_since) == (0, None)


def test_a_server_that_ends_each_mail_without_an_answer_makes_two_questions_and_the_queue_waits(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls", pipelining=True)
    server.on(".", Drop(keep_mail=True))
    account = account_on(server)
    queue(account, 5)

    deliver.deliver_account(account.pk)

    assert states(account) == [("failed", "uncertain")] * 2 + [("pending", "")] * 3
    smtp = Transport.objects.get(pk=account.smtp_id)
    assert smtp.next_allowed_at and smtp.next_allowed_at > timezone.now() and len(server.mails()) == 2
    server.accept()
    deliver.deliver_account(account.pk, clock=lambda: timezone.now() + timedelta(minutes=10))
    assert states(account) == [("failed", "uncertain")] * 2 + [("sent", "")] * 3
    assert max(server.copies().values()) == 1


def test_a_question_among_mails_that_are_taken_holds_up_nobody(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls", pipelining=True)
    for which in (1, 3):
        server.on(".", Drop(keep_mail=True), containing=f"u{which}@")
    account = account_on(server)
    queue(account, 5)

    deliver.deliver_account(account.pk)

    assert [hold for _status, hold in states(account)] == ["", "uncertain", "", "uncertain", ""]
    assert len(server.mails()) == 5


def sent_to_one_that_answers(account_on: Accounts, server: SmtpServer, said: str) -> OutboxMessage:
    """A mail whose end this server answers so, after its attempt."""
    server.on(".", Reply(said))
    account = account_on(server)
    queue(account, 1)
    deliver.deliver_account(account.pk)
    return OutboxMessage.objects.get()


@pytest.mark.parametrize("said", ["220 localhost ESMTP", "221 2.0.0 Bye", "235 2.7.0 Accepted"])
def test_what_a_server_says_about_its_session_is_no_receipt_for_a_mail(
    account_on: Accounts, smtp_server: Start, said: str
) -> None:
    """As of a proxy that was restarted behind the end of the mail, and greets."""
    server = smtp_server("tls", pipelining=True)
    row = sent_to_one_that_answers(account_on, server, said)
    assert (row.status, row.hold) == ("failed", "uncertain") and server.mails() == []
    assert row.error == f"The server's answer is none to what it was asked: {said}"


@pytest.mark.parametrize("said", ["200 Ok", "240 2.0.0 Queued", "251 2.0.0 Forwarded"])
def test_a_positive_code_that_is_not_known_counts_by_its_first_digit(
    account_on: Accounts, smtp_server: Start, said: str
) -> None:
    row = sent_to_one_that_answers(account_on, smtp_server("tls", pipelining=True), said)
    assert (row.status, row.hold) == ("sent", "")


@pytest.mark.parametrize("said", ["250-2.0.0 Taken\n451 4.3.0 Not now", "451-4.3.0 Not now\n250 2.0.0 Taken"])
def test_a_reply_whose_lines_say_yes_and_no_is_none(account_on: Accounts, smtp_server: Start, said: str) -> None:
    first, last = (f"{line[:3]}{end}{line[4:]}" for line, end in zip(said.split("\n"), "- ", strict=True))
    row = sent_to_one_that_answers(account_on, smtp_server("tls", pipelining=True), f"{first}\n{last}")
    assert (row.status, row.hold) == ("failed", "uncertain") and "contradict" in row.error


@pytest.mark.parametrize("size", ["²", "SIZE", "-1", "0", "99999999999999999999999999"])
def test_a_limit_of_size_that_is_no_number_is_none(account_on: Accounts, smtp_server: Start, size: str) -> None:
    server = smtp_server("tls", pipelining=True)
    server.max_size = size  # type: ignore[assignment]
    account = account_on(server)
    assert api.send(account.pk, "ann@example.test", "Hello", "A text.").ok


def test_a_server_that_answers_the_first_of_several_commands_only_gets_one_after_the_other(
    account_on: Accounts, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It offers PIPELINING, and throws away what comes together with a command."""
    monkeypatch.setattr(mail_transaction, "one_by_one", known := set[tuple[str, int]]())
    monkeypatch.setattr(session, "one_by_one", known)

    def alone(talk: Talk) -> bytes:
        talk.unread = b""
        return b"250 2.0.0 Ok\r\n"

    server = OddServer(certificates, {"MAIL": alone, "RCPT": alone})
    account = account_on(server)
    rows = queue(account, 3)
    deliver.deliver_account(account.pk)
    assert [row.status for row in rows] == ["pending"] * 3 and not server.taken

    deliver.deliver_account(account.pk, clock=lambda: timezone.now() + timedelta(minutes=10))
    assert states(account) == [("sent", "")] * 3 and list(server.taken.values()) == [1] * 3
    server.stop()
