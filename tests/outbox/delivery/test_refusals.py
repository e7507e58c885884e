"""What a server refuses, by code, for a mail, a recipient or a sign-in."""

from __future__ import annotations

import pytest

from outbox import api
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.outbox.delivery.one_mail import Accounts, Start, sent_row
from tests.servers.smtp_faults import Reply

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.wire,
]


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
