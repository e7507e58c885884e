"""The servers of the tests do what the tests believe of them."""

from __future__ import annotations

import imaplib
import smtplib
import ssl
from collections.abc import Callable

import pytest

from mailbox.models import Account
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Drop, Hold, Raw, Reply, Silence

pytestmark = pytest.mark.processes

MAIL = b"From: a@example.test\r\nSubject: hello\r\nMessage-ID: <1@example.test>\r\n\r\nA line\r\n.dot\r\n"


def submit(dovecot: Dovecot, user: str) -> smtplib.SMTP:
    client = smtplib.SMTP(dovecot.host, dovecot.submission_port, timeout=10)
    client.starttls(context=ssl.create_default_context(cadata=dovecot.ca_pem))
    client.login(user, dovecot.password)
    return client


def test_dovecot_keeps_a_message_byte_for_byte(dovecot: Dovecot, mail_user: str) -> None:
    dovecot.create_folder(mail_user, "Töne & mehr")
    uid = dovecot.append(mail_user, "Töne & mehr", MAIL, ["\\Seen"])
    assert dovecot.messages(mail_user, "Töne & mehr") == {uid: MAIL}
    assert dovecot.flags(mail_user, "Töne & mehr") == {uid: {"\\Seen"}}
    assert dovecot.messages(mail_user) == {}
    assert "Töne & mehr" in dovecot.doveadm("mailbox", "list", "-8", "-u", mail_user)


def test_dovecot_signs_in_with_a_token_until_it_expires(dovecot: Dovecot, mail_user: str) -> None:
    def sign_in(token: str) -> None:
        context = ssl.create_default_context(cadata=dovecot.ca_pem)
        with imaplib.IMAP4_SSL(dovecot.host, dovecot.imap_port, ssl_context=context) as imap:
            imap.authenticate("XOAUTH2", lambda _: f"user={mail_user}\x01auth=Bearer {token}\x01\x01".encode())

    sign_in(dovecot.token(mail_user))
    with pytest.raises(imaplib.IMAP4.error):
        sign_in(dovecot.token(mail_user, expires_in=-10))


def test_what_dovecot_is_given_to_send_arrives_at_the_sink_byte_for_byte(
    dovecot: Dovecot, sink: SmtpServer, mail_user: str
) -> None:
    with submit(dovecot, mail_user) as client:
        client.sendmail(mail_user, ["b@example.test"], MAIL)
    [mail] = sink.mails()
    assert (mail.mail_from, mail.rcpt_tos, mail.submitted) == (mail_user, ["b@example.test"], MAIL)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
def test_dovecot_passes_the_sinks_refusal_on_in_its_own_words(
    dovecot: Dovecot, sink: SmtpServer, mail_user: str, command: str
) -> None:
    sink.refuse(command, "550 5.7.1 Not today")
    with submit(dovecot, mail_user) as client, pytest.raises(smtplib.SMTPException, match="Not today"):
        client.sendmail(mail_user, ["b@example.test"], MAIL)
    sink.accept()
    with submit(dovecot, mail_user) as client:
        client.sendmail(mail_user, ["b@example.test"], MAIL)
    assert len(sink.mails()) == 1


def test_dovecot_speaks_tls_from_the_first_byte_on_its_other_port(dovecot: Dovecot, mail_user: str) -> None:
    context = ssl.create_default_context(cadata=dovecot.ca_pem)
    with smtplib.SMTP_SSL("127.0.0.1", dovecot.submissions_port, context=context) as client:
        assert client.login(mail_user, MAILBOX_PASSWORD)[0] == 235


def test_dovecot_stops_and_starts_again_with_its_mail(dovecot: Dovecot, mail_user: str) -> None:
    uid = dovecot.append(mail_user, "INBOX", MAIL)
    dovecot.stop()
    assert not dovecot.is_running()
    dovecot.start()
    assert dovecot.messages(mail_user) == {uid: MAIL}


def connect(server: SmtpServer, timeout: float = 10) -> smtplib.SMTP:
    context = ssl.create_default_context(cadata=server.ca_pem)
    if server.security == "tls":
        return smtplib.SMTP_SSL("localhost", server.port, context=context, timeout=timeout)
    client = smtplib.SMTP("localhost", server.port, timeout=timeout)
    client.starttls(context=context)
    return client


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_the_scripted_server_takes_a_mail(
    smtp_server: Callable[..., SmtpServer], security: str, mechanism: str
) -> None:
    server = smtp_server(security, mechanisms=(mechanism,))
    with connect(server) as client:
        client.login("ann@example.test", MAILBOX_PASSWORD)
        client.sendmail("a@example.test", ["b@example.test", "c@example.test"], MAIL)
    [mail] = server.mails()
    assert (mail.user, mail.rcpt_tos, mail.raw) == ("ann@example.test", ["b@example.test", "c@example.test"], MAIL)
    assert len(server.said("RCPT")) == 2


def test_the_scripted_server_knows_good_tokens_from_bad_ones(smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server("tls")
    with connect(server) as client:
        client.ehlo()
        client.user, client.password = "ann@example.test", ""
        assert client.auth("XOAUTH2", lambda _=None: "user=a\x01auth=Bearer good-token\x01\x01")[0] == 235
    with connect(server) as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.ehlo()
        client.auth("XOAUTH2", lambda c=None: "" if c else "user=a\x01auth=Bearer old\x01\x01")


def test_the_scripted_server_refuses_one_recipient_of_three_once(smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server("none", require_auth=False)
    server.on("RCPT", Reply("450 4.2.0 Try later"), containing="b@", times=1)
    with smtplib.SMTP("localhost", server.port) as client:
        recipients = ["a@example.test", "b@example.test", "c@example.test"]
        refused = client.sendmail("a@example.test", recipients, MAIL)
        assert list(refused) == ["b@example.test"]
        assert client.sendmail("a@example.test", recipients, MAIL) == {}


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Drop(), 0),
        (Drop(keep_mail=True), 1),
        (Silence(keep_mail=True), 1),
        (Raw(b"25"), 0),
        (Raw(b"250-half\r\n", then_drop=False, keep_mail=True), 1),
        (Reply("552 5.3.4 Too big"), 0),
    ],
)
def test_the_scripted_server_fails_at_the_final_dot_as_told(
    smtp_server: Callable[..., SmtpServer], fault: object, kept: int
) -> None:
    server = smtp_server("none", require_auth=False)
    server.on(".", fault)  # type: ignore[arg-type]
    client = smtplib.SMTP("localhost", server.port, timeout=0.5)
    with pytest.raises((smtplib.SMTPException, OSError)):
        client.sendmail("a@example.test", ["b@example.test"], MAIL)
    client.close()
    assert len(server.mails()) == kept


def test_the_scripted_server_waits_before_its_answer_until_released(smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server("none", require_auth=False)
    hold = Hold()
    server.on("MAIL", hold)
    client = smtplib.SMTP("localhost", server.port, timeout=10)
    client.ehlo()
    client.putcmd("MAIL", "FROM:<a@example.test>")
    assert hold.reached.wait(10)
    hold.release()
    assert client.getreply()[0] == 250
    client.close()


def test_an_account_is_made_on_dovecot_by_default(make_account: Callable[..., Account], dovecot: Dovecot) -> None:
    account = make_account(imap_password=None, imap_oauth_token="token", display_name="Ann")
    assert (account.imap.port, account.imap.oauth_token, account.imap.password) == (dovecot.imap_port, "token", None)
    assert (account.smtp.security, account.smtp.password) == ("starttls", MAILBOX_PASSWORD)


@pytest.mark.long
def test_a_cluster_on_the_test_database_runs_and_stops_with_all_its_processes(
    start_workers: Callable[..., Cluster],
) -> None:
    from tests.servers.ports import wait_until

    cluster = start_workers(PRX_EMAIL_WORKERS="1")
    # The cluster, its sentinel, one worker, the pusher and the monitor.
    wait_until(lambda: len(cluster.pids()) >= 5 or cluster.process.poll() is not None, seconds=30, what="the workers")
    assert cluster.process.poll() is None, cluster.log()
    cluster.stop()
    assert cluster.pids() == []


@pytest.mark.browser
def test_chromium_opens_a_page_of_the_site(page, live_site: str) -> None:  # type: ignore[no-untyped-def]
    response = page.goto(f"{live_site}/admin/login/")
    assert response.status == 200
