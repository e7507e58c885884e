"""Connections that are lost and answers that are none, at each command."""

from __future__ import annotations

import pytest

from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.outbox.delivery.one_mail import BEFORE_DATA, LOST, Accounts, Start, sent_row
from tests.rows import newest_attempt
from tests.servers.smtp_faults import Drop, Fault, Raw, Reply, Silence

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.wire,
]


@pytest.mark.parametrize("fault", LOST, ids=repr)
@pytest.mark.parametrize("command", BEFORE_DATA)
@pytest.mark.in_part(3)
def test_a_connection_lost_before_data_is_tried_again_in_ten_seconds(
    account_on: Accounts, smtp_server: Start, command: str, fault: Fault
) -> None:
    server = smtp_server("starttls")
    server.on(command, fault)

    row = sent_row(account_on(server))

    assert (row.status, row.hold, row.retries) == ("failed", "", 1)
    attempt = row.attempts.get()
    assert attempt.outcome == "transient" and attempt.finished_at
    assert (row.next_attempt_at - attempt.finished_at).total_seconds() == pytest.approx(10, abs=1)
    assert row.error and server.mails() == []
    server.accept()
    assert api.retry_outbox(row.pk, now_anyway=True).ok
    assert len(server.mails()) == 1


@pytest.mark.parametrize("fault", LOST, ids=repr)
@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "PIPELINING"])
@pytest.mark.in_part(3)
def test_a_connection_lost_after_the_end_of_the_mail_asks_a_person(
    account_on: Accounts, smtp_server: Start, pipelining: bool, fault: Fault
) -> None:
    server = smtp_server("tls", pipelining=pipelining)
    server.on(".", fault)

    row = sent_row(account_on(server))

    assert (row.status, row.hold, row.retries) == ("failed", "uncertain", 0)
    assert (row.attempts.get().phase, row.attempts.get().outcome) == ("dot", "uncertain")
    assert api.retry_outbox(row.pk, now_anyway=True).error is not None


@pytest.mark.parametrize("fault", LOST, ids=repr)
def test_a_connection_lost_in_answer_to_data_is_no_question(
    account_on: Accounts, smtp_server: Start, fault: Fault
) -> None:
    """Nothing of the mail was written, so the server cannot have taken it."""
    server = smtp_server("tls")
    server.on("DATA", fault)

    row = sent_row(account_on(server))

    assert (row.status, row.hold, row.retries) == ("failed", "", 1)
    assert (row.attempts.get().phase, row.attempts.get().outcome) == ("data", "transient")
    server.accept()
    assert api.retry_outbox(row.pk, now_anyway=True).ok and len(server.mails()) == 1


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "PIPELINING"])
@pytest.mark.parametrize("command", [*BEFORE_DATA, "DATA", "."])
@pytest.mark.parametrize(
    ("reply", "hold", "outcome"),
    [("450 4.3.0 Not now", "", "transient"), ("550 5.3.0 Not ever", "permanent", "permanent")],
)
@pytest.mark.in_part(3)
def test_at_every_command_4xx_is_for_now_and_from_mail_on_5xx_is_for_good(
    account_on: Accounts, smtp_server: Start, command: str, reply: str, hold: str, outcome: str, pipelining: bool
) -> None:
    server = smtp_server("starttls", pipelining=pipelining)
    server.on(command, Reply(reply))

    row = sent_row(account_on(server))

    if command in ("CONNECT", "EHLO", "STARTTLS", "AUTH"):  # no mail is to blame
        hold, outcome = "", "transient"
    assert (row.status, row.hold, row.retries, row.attempts.get().outcome) == ("failed", hold, 1, outcome)
    assert reply in row.error and server.mails() == []
    server.accept()
    assert api.retry_outbox(row.pk, now_anyway=True).ok
    assert len(server.mails()) == 1


@pytest.mark.parametrize("fault", [*LOST, Reply("451 4.3.0 Not now"), Reply("535 5.7.8 Wrong password")], ids=repr)
@pytest.mark.parametrize("step", ["the name", "the password"])
def test_a_fault_in_the_middle_of_auth_login_sends_nothing(
    account_on: Accounts, smtp_server: Start, step: str, fault: Fault
) -> None:
    server = smtp_server("tls", mechanisms=("LOGIN",))
    server.on("AUTH name" if step == "the name" else "AUTH", fault)

    row = sent_row(account_on(server))

    is_refused = fault == Reply("535 5.7.8 Wrong password")
    assert (row.status, row.hold) == ("failed", "sign_in" if is_refused else "")
    assert row.attempts.get().phase == "auth" and server.said("MAIL") == []


@pytest.mark.parametrize("fault", [*LOST, Reply("450 4.3.0 Not now"), Reply("550 5.3.0 Not ever")], ids=repr)
@pytest.mark.parametrize(("place", "pipelining"), [(0, True), (1, False), (2, True)])
@pytest.mark.in_part(4)
def test_a_fault_at_one_recipient_of_three_loses_none_and_doubles_none(
    account_on: Accounts, smtp_server: Start, place: int, fault: Fault, pipelining: bool
) -> None:
    people = ["ann@example.test", "bob@example.test", "cid@example.test"]
    server = smtp_server("tls", pipelining=pipelining)
    server.on("RCPT", fault, containing=people[place], times=1)

    row = sent_row(account_on(server), to=", ".join(people))

    others = [each for each in people if each != people[place]]
    assert [mail.rcpt_tos for mail in server.mails()] == ([others] if isinstance(fault, Reply) else [])
    assert api.retry_outbox(row.pk, now_anyway=True).ok
    assert sorted(who for mail in server.mails() for who in mail.rcpt_tos) == people


@pytest.mark.parametrize("fault", [Drop(), Silence(), Raw(b"25"), Reply("421 4.4.2 Bye"), Reply("500 What?")], ids=repr)
@pytest.mark.parametrize("command", ["RSET", "QUIT"])
def test_what_goes_wrong_after_the_answer_changes_no_outcome(
    account_on: Accounts, smtp_server: Start, command: str, fault: Fault
) -> None:
    """RSET after a mail whose only recipient was refused, QUIT after one that was taken."""
    server = smtp_server("tls")
    server.on(command, fault)
    server.on("RCPT", Reply("550 5.1.1 No such user"), containing="bob@")
    account = account_on(server)

    for who in ("bob@example.test", "ann@example.test"):
        assert api.queue(account.pk, who, "Hello", "A text.").ok

    deliver.deliver_account(account.pk)

    states = list(OutboxMessage.objects.order_by("pk").values_list("status", "hold", "retries"))
    assert states == [("failed", "permanent", 1), ("sent", "", 0)] and len(server.mails()) == 1


def test_a_server_that_takes_a_mail_and_closes_has_taken_it(account_on: Accounts, smtp_server: Start) -> None:
    """250 and the end of the connection in one go: the mail is sent, and the next one needs a session of its own."""
    server = smtp_server("tls")
    server.on(".", Raw(b"250 2.0.0 Taken\r\n", keep_mail=True))
    account = account_on(server)
    for n in range(3):
        assert api.queue(account.pk, f"u{n}@example.test", "Hello", "A text.").ok

    deliver.deliver_account(account.pk)

    assert list(OutboxMessage.objects.values_list("status", "retries")) == [("sent", 0)] * 3
    assert len(server.mails()) == 3


def test_sent_again_the_uncertain_mail_keeps_its_message_id(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    server.on(".", Drop(keep_mail=True), times=1)
    row = sent_row(account_on(server))

    assert api.send_again(row.pk, newest_attempt(row.pk), user=None).ok
    deliver.deliver_account(row.account_id)

    first, second = (mail.raw for mail in server.mails())
    row.refresh_from_db()
    assert row.status == "sent" and row.provider_message_id == f"<outbox-{row.pk}-0@prx-email.local>"
    differing = [
        (one, other) for one, other in zip(first.split(b"\r\n"), second.split(b"\r\n"), strict=True) if one != other
    ]
    assert len(differing) == 1 and differing[0][0].startswith(b"X-PRX-Attempt: ")
