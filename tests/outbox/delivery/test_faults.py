"""What each fault of a server, at each command, makes of a row: nothing lost, nothing sent twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailbox.models import Account
from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.rows import newest_attempt
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop, Fault, Raw, Reply, Silence

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.wire,
]
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]
BEFORE_DATA = ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT"]
LOST = [
    Drop(),
    Silence(),
    Raw(b"\x00\xffgarbage\r\n"),
    Raw(b"25"),
    Raw(b"250-half of\r\n"),
    Raw(b"250 2.0.0 no line end"),
]


def sent_row(account: Account, **changes: str) -> OutboxMessage:
    api.send(account.pk, changes.get("to", "bob@example.test"), "Hello", "A text.")
    return OutboxMessage.objects.get()


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


@pytest.mark.parametrize(
    ("command", "reply", "hold", "retries", "outcome"),
    [
        ("MAIL", "451 4.3.0 Try later", "", 1, "transient"),
        ("MAIL", "503 5.5.1 Bad sequence", "", 1, "transient"),
        ("MAIL", "550 5.7.1 Not you", "permanent", 1, "permanent"),
        ("RCPT", "450 4.2.0 Greylisted", "", 1, "transient"),
        ("RCPT", "550 5.1.1 No such user", "permanent", 1, "permanent"),
        ("DATA", "452 4.3.1 Full", "", 1, "transient"),
        ("DATA", "554 5.6.0 No", "permanent", 1, "permanent"),
        (".", "451 4.7.1 Later", "", 1, "transient"),
        (".", "550 5.7.1 Spam", "permanent", 1, "permanent"),
        ("AUTH", "535 5.7.8 Wrong password", "sign_in", 0, "sign_in"),
        ("AUTH", "454 4.7.0 Too many logins", "", 0, "throttled"),
        ("CONNECT", "421 4.7.0 Busy", "", 0, "throttled"),
        ("MAIL", "421 4.7.0 Slow down", "", 0, "throttled"),
        (".", "421 4.7.0 Closing", "uncertain", 0, "uncertain"),  # it may be a proxy whose relay took the mail
    ],
)
def test_a_refusal_is_what_its_code_says(
    account_on: Accounts, smtp_server: Start, command: str, reply: str, hold: str, retries: int, outcome: str
) -> None:
    server = smtp_server("tls")
    server.on(command, Reply(reply))

    row = sent_row(account_on(server))

    assert (row.status, row.hold, row.retries) == ("failed", hold, retries)
    attempt = row.attempts.get()
    assert (attempt.outcome, attempt.reply_code) == (outcome, int(reply[:3]))
    assert reply.split(" ", 1)[1] in row.error
    assert server.mails() == []


@pytest.mark.parametrize(
    ("reply", "hold", "outcome"),
    [
        ("451 4.7.1 Later", "", "transient"),
        ("550 5.7.1 Spam", "permanent", "permanent"),
        ("421 4.7.0 Closing", "uncertain", "uncertain"),
    ],
)
def test_a_refused_mail_is_what_its_code_says_and_the_session_goes_on_in_step(
    account_on: Accounts, smtp_server: Start, reply: str, hold: str, outcome: str
) -> None:
    server = smtp_server("tls")
    server.on(".", Reply(reply), times=1)
    account = account_on(server)
    for to in ("bob@example.test", "eve@example.test"):
        assert api.queue(account.pk, to, "Hello", "A text.").ok

    deliver.deliver_account(account.pk)

    first, second = OutboxMessage.objects.order_by("pk")
    assert (first.status, first.hold, first.attempts.get().outcome) == ("failed", hold, outcome)
    assert second.status == ("pending" if outcome == "throttled" else "sent")


def test_a_refused_recipient_alone_gets_the_mail_again(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    server.on("RCPT", Reply("451 4.2.0 Greylisted"), containing="bob@", times=1)
    row = sent_row(account_on(server), to="ann@example.test, bob@example.test, cid@example.test")

    assert (row.status, row.hold, row.retries) == ("failed", "", 1)
    assert server.mails()[0].rcpt_tos == ["ann@example.test", "cid@example.test"]
    assert row.attempts.get().outcome == "partial" and "bob@example.test: 451" in row.error
    assert api.retry_outbox(row.pk, now_anyway=True).ok
    assert server.mails()[1].rcpt_tos == ["bob@example.test"]
    assert set(row.recipients.values_list("status", flat=True)) == {"accepted"}


def test_a_recipient_refused_for_good_waits_for_a_person_and_is_named(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    server.on("RCPT", Reply("550 5.1.1 No such user"), containing="bob@")
    server.on("RCPT", Reply("451 4.2.0 Greylisted"), containing="cid@", times=1)
    row = sent_row(account_on(server), to="ann@example.test, bob@example.test, cid@example.test")
    assert (row.status, row.hold) == ("failed", "")  # cid may still get it by waiting

    api.retry_outbox(row.pk, now_anyway=True)

    row.refresh_from_db()
    assert (row.status, row.hold) == ("failed", "permanent")
    assert row.error == "bob@example.test: 550 5.1.1 No such user"
    assert [mail.rcpt_tos for mail in server.mails()] == [["ann@example.test"], ["cid@example.test"]]
    server.accept()
    assert api.retry_outbox(row.pk).ok
    assert server.mails()[-1].rcpt_tos == ["bob@example.test"]


def test_a_mail_over_the_servers_size_is_refused_before_data(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls", max_size=300)

    row = sent_row(account_on(server))

    assert (row.status, row.hold) == ("failed", "permanent")
    assert "at most 300" in row.error and server.said("MAIL") == []


def test_without_starttls_nothing_is_said_in_the_clear(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("none")

    row = sent_row(account_on(server, smtp_security="starttls"))

    assert row.status == "failed" and "STARTTLS" in row.error
    assert server.said("AUTH") == [] and server.said("MAIL") == []


def test_a_certificate_of_a_stranger_is_not_accepted(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")

    row = sent_row(account_on(server, ca_certificate=""))

    assert (row.status, row.hold, row.error_code) == ("failed", "", "Network")
    assert "certificate" in row.error and server.commands == []


def test_a_host_that_is_not_there_is_a_network_error(make_account: Accounts) -> None:
    account = make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)

    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")

    assert response.error and response.error.code == "Network"
    assert response.data and (response.data.status, response.data.retries) == ("failed", 1)


@pytest.mark.parametrize("mechanisms", [("PLAIN",), ("LOGIN",), ("LOGIN", "PLAIN", "CRAM-MD5")], ids=repr)
def test_a_password_goes_by_plain_or_login(
    account_on: Accounts, smtp_server: Start, mechanisms: tuple[str, ...]
) -> None:
    server = smtp_server("tls", mechanisms=mechanisms)

    assert sent_row(account_on(server)).status == "sent"
    assert server.said("AUTH")[0].split()[1] == ("PLAIN" if "PLAIN" in mechanisms else "LOGIN")


def test_no_other_mechanism_is_tried(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls", mechanisms=("CRAM-MD5",))

    row = sent_row(account_on(server))

    assert (row.status, row.hold) == ("failed", "") and "CRAM-MD5" in row.error


def test_a_token_signs_in_and_a_refused_one_keeps_the_servers_words(account_on: Accounts, smtp_server: Start) -> None:
    server = smtp_server("tls")
    assert sent_row(account_on(server, smtp_password=None, smtp_oauth_token="good-token")).status == "sent"
    account = account_on(server, smtp_password=None, smtp_oauth_token="bad-token")

    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")

    assert response.error and response.error.code == "Provider"
    row = OutboxMessage.objects.get(account=account)
    assert (row.status, row.hold, row.retries) == ("failed", "sign_in", 0)
    assert "535" in row.error and "bad-token" not in row.error
    account.smtp.refresh_from_db()
    assert account.smtp.needs_sign_in_since


def test_no_secret_is_in_what_is_kept_of_an_attempt(account_on: Accounts, smtp_server: Start) -> None:
    import base64

    server = smtp_server("tls")
    account = account_on(server, smtp_password="pa55-word")
    echoed = base64.b64encode(f"\0{account.smtp.user}\0pa55-word".encode()).decode()
    server.on("AUTH", Reply(f"535 5.7.8 Refused: pa55-word {echoed}"))

    row = sent_row(account)

    attempt = row.attempts.get()
    kept = f"{row.error} {attempt.reply} {attempt.transcript}"
    assert "pa55-word" not in kept and echoed not in kept and "***" in row.error
    account.smtp.refresh_from_db()
    assert "pa55-word" not in account.smtp.last_reply
