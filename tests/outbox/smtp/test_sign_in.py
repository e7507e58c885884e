"""Signing in for real: Dovecot with STARTTLS, TLS, password and token, and "Test connection" on both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone

from mailbox.models import Account, ConnectionTest
from outbox import api, connection_test
from outbox.delivery.database import complete
from outbox.models import OutboxMessage
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
Accounts = Callable[..., Account]


def outcome_of(account: Account) -> ConnectionTest:
    test = ConnectionTest.objects.create(account=account)
    connection_test.run(test.pk)
    test.refresh_from_db()
    return test


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("auth", ["password", "token"])
def test_dovecot_takes_a_mail(
    make_account: Accounts, dovecot: Dovecot, sink: SmtpServer, mail_user: str, security: str, auth: str
) -> None:
    port = dovecot.submissions_port if security == "tls" else dovecot.submission_port
    secret = {} if auth == "password" else {"smtp_password": None, "smtp_oauth_token": dovecot.token(mail_user)}
    account = make_account(mail_user, smtp_port=port, smtp_security=security, **secret)

    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")

    assert response.ok, response
    assert [mail.rcpt_tos for mail in sink.mails()] == [["bob@example.test"]]


def test_an_expired_token_waits_for_a_new_one(make_account: Accounts, dovecot: Dovecot, mail_user: str) -> None:
    expired = dovecot.token(mail_user, expires_in=-60)
    account = make_account(mail_user, smtp_password=None, smtp_oauth_token=expired)

    response = api.send(account.pk, "bob@example.test", "Hello", "A text.")

    row = OutboxMessage.objects.get()
    assert response.error and response.error.code == "Provider"
    assert (row.status, row.hold, row.retries) == ("failed", "sign_in", 0)
    assert expired not in row.error + str(row.attempts.get().transcript)


def test_a_good_account_passes_on_both_sides(make_account: Accounts) -> None:
    test = outcome_of(make_account())

    assert (test.imap_ok, test.smtp_ok) == (True, True), (test.imap_reply, test.smtp_reply)
    assert test.imap_reply and test.smtp_reply.startswith("235") and test.finished_at


def test_it_runs_in_a_thread_that_has_an_event_loop(
    make_account: Accounts, monkeypatch: pytest.MonkeyPatch, dovecot: Dovecot
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    account = make_account()

    async def asked_within_a_loop() -> ConnectionTest:
        try:
            return outcome_of(account)
        finally:
            connection.close()  # this thread's

    test = complete(asked_within_a_loop())  # a loop in another thread: this one may have one already
    assert (test.imap_ok, test.smtp_ok) == (True, True), (test.imap_reply, test.smtp_reply)


def test_each_side_fails_for_itself_in_the_servers_words(make_account: Accounts) -> None:
    account = make_account(smtp_password="wrong-one")

    test = outcome_of(account)

    assert (test.imap_ok, test.smtp_ok) == (True, False)
    assert "535" in test.smtp_reply and "wrong-one" not in test.smtp_reply
    account.smtp.refresh_from_db()
    account.imap.refresh_from_db()
    assert account.smtp.needs_sign_in_since and not account.imap.needs_sign_in_since


def test_a_passed_test_lifts_the_holds_that_waited_for_sign_in(make_account: Accounts, sink: SmtpServer) -> None:
    account = make_account(smtp_password="wrong-one")
    api.send(account.pk, "bob@example.test", "Hello", "A text.")
    account.smtp.password = MAILBOX_PASSWORD
    account.smtp.save()

    assert outcome_of(account).smtp_ok

    account.smtp.refresh_from_db()
    assert account.smtp.needs_sign_in_since is None
    row = OutboxMessage.objects.get()
    assert row.hold == "" and row.next_attempt_at <= timezone.now()


def test_a_port_where_nobody_listens_is_said(make_account: Accounts) -> None:
    test = outcome_of(make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1))

    assert (test.imap_ok, test.smtp_ok) == (False, False)
    assert "localhost:1 cannot be reached" in test.smtp_reply and test.imap_reply
