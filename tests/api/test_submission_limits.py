"""SMTP submission: what is too much, too long or no SMTP stops nobody else, and nothing of it is kept."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable

import pytest

from api.submission import protocol
from api.submission.limits import SubmissionLimits
from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.api.submitting import MAIL, OPS, Submission, frozen, ops, secret, send, submission
from tests.servers.certificates import Certificates
from tests.servers.ports import wait_until
from tests.servers.smtp import SmtpServer

__all__ = ["ops", "secret", "submission"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_too_many_recipients_are_told_to_come_again(submission: Submission, ops: Account, secret: str) -> None:
    with submission.connect(secret) as client:
        client.docmd(f"MAIL FROM:<{OPS}>")
        codes = [client.docmd(f"RCPT TO:<a{number}@example.com>")[0] for number in range(101)]
    assert codes == [250] * 100 + [452]


def test_what_is_too_long_or_too_large_is_refused_and_kept_nowhere(
    certificates: Certificates, ops: Account, secret: str
) -> None:
    running = Submission(certificates, SubmissionLimits(bytes_at_once=50_000))
    with running.connect(secret) as client:
        assert send(client, MAIL + b"x" * 2000 + b"\r\n").startswith("554 5.6.0")
        assert send(client, MAIL + b"x\r\n" * 40_000).startswith("552 5.3.4")
        assert send(client, MAIL + b"x\r\n" * 20_000).startswith("451 4.3.1")
        assert client.docmd(f"MAIL FROM:<{OPS}> SIZE=100001")[0] == 552
        assert client.docmd("NOOP " + "x" * 5000)[0] == 500
        assert running.limits.reserve(50_000)  # nothing is held any more
        running.limits.free(50_000)
        assert send(client).startswith("250")
    running.stop()


def test_a_line_end_that_is_none_ends_no_mail(submission: Submission, ops: Account, secret: str) -> None:
    """Else one mail could hold the commands of another (SMTP smuggling)."""
    with submission.connect(secret) as client:
        client.docmd(f"MAIL FROM:<{OPS}>")
        client.docmd("RCPT TO:<ann@example.com>")
        client.docmd("DATA")
        client.send(MAIL + b"\n.\nMAIL FROM:<ops@example.com>\r\n.\r\n")
        assert client.getreply()[0] == 250
    row = OutboxMessage.objects.get()
    assert frozen(row).endswith(b"\r\n\r\n.\r\nMAIL FROM:<ops@example.com>\r\n")


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n.\x0b\r\n"], ids=repr
)
@pytest.mark.in_part(3)
def test_what_only_looks_like_an_end_is_one_mail_to_the_next_server_too(
    submission: Submission,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    secret: str,
    end: bytes,
) -> None:
    sink = smtp_server("tls")
    account = account_on(sink, email=OPS)
    smuggled = b"MAIL FROM:<ops@example.com>\r\nRCPT TO:<eve@example.com>\r\nDATA\r\nDear Eve\r\n"
    with submission.connect(secret) as client:
        for command in (f"MAIL FROM:<{OPS}>", "RCPT TO:<ann@example.com>", "DATA"):
            client.docmd(command)
        client.send(MAIL + b"x" + end + smuggled + b".\r\n")
        assert client.getreply()[0] == 250
        assert client.docmd("NOOP") == (250, b"OK")
    deliver.deliver_account(account.pk)
    (mail,) = sink.mails()
    assert mail.rcpt_tos == ["ann@example.com"] and b"Dear Eve" in mail.raw


def test_tls_begins_once_and_an_endless_line_of_auth_is_the_programs_fault(
    submission: Submission, ops: Account, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = submission.connect()
    assert stranger.docmd("AUTH PLAIN")[0] == 334
    assert stranger.docmd("x" * 100_000)[0] == 500
    stranger.close()
    with submission.connect(secret) as client:
        assert client.docmd("STARTTLS")[0] == 503
        assert send(client).startswith("250")
    wait_until(lambda: counted(submission) == 0, seconds=20, what="the end of both")
    assert submission.limits._signed_in == 0
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_strangers_have_a_share_of_the_connections_and_little_time(
    certificates: Certificates, ops: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SIGN_IN_SECONDS", 1.0)
    running = Submission(certificates, SubmissionLimits(signed_out=2))
    with running.connect(secret) as client:
        strangers = [socket.create_connection(("localhost", running.starttls)) for _ in range(3)]
        greetings = [stranger.makefile("rb").readline()[:3] for stranger in strangers]
        assert greetings == [b"220", b"220", b"421"]
        assert [stranger.recv(100) for stranger in strangers] == [b""] * 3  # their time is over
        assert send(client).startswith("250")
    for stranger in strangers:
        stranger.close()
    wait_until(lambda: running.limits.enter("x"), seconds=20, what="room once more")
    running.stop()


def never_reads(running: Submission) -> socket.socket:
    """Asks for more answers than fit on the way, and takes none."""
    stranger = socket.socket()
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    stranger.connect(("localhost", running.starttls))
    stranger.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            stranger.send(b"RSET\r\n" * 1000)
    return stranger


def never_begins_tls(running: Submission) -> socket.socket:
    stranger = socket.create_connection(("localhost", running.starttls))
    with stranger.makefile("rb") as said:
        for command in (b"", b"STARTTLS\r\n"):
            stranger.sendall(command)
            assert said.readline()[:3] == b"220"
    return stranger


def says_nothing_before_tls(running: Submission) -> socket.socket:
    return socket.create_connection(("localhost", running.tls))


def counted(running: Submission) -> int:
    return running.limits._of.total()


@pytest.mark.parametrize("hold", [never_reads, never_begins_tls, says_nothing_before_tls])
def test_a_stranger_who_neither_reads_nor_begins_tls_does_not_keep_its_place(
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    transactional_db: None,
    hold: Callable[[Submission], socket.socket],
) -> None:
    monkeypatch.setattr(protocol, "SIGN_IN_SECONDS", 8.0)  # `hold` must be done by then, on a busy machine too
    monkeypatch.setattr(protocol, "HANDSHAKE_SECONDS", 8.0)
    running = Submission(certificates, SubmissionLimits(connections=1))
    with hold(running):
        wait_until(lambda: counted(running) == 1, seconds=20, what="the connection to be counted")
        wait_until(lambda: counted(running) == 0, seconds=40, what="its place")
    running.stop()


def test_a_connection_is_counted_before_its_tls(certificates: Certificates, ops: Account, secret: str) -> None:
    """Else strangers who begin none take all descriptors of the process, and the database cannot be opened."""
    running = Submission(certificates, SubmissionLimits(of_an_address=3))
    with running.connect(secret) as client, contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(socket.create_connection(("localhost", running.tls))) for _ in range(9)]
        wait_until(lambda: sum(map(has_ended, strangers)) == 7, seconds=20, what="the end of those beyond the limit")
        assert counted(running) == 3
        assert send(client).startswith("250")
    running.stop()


def has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


NOISE = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 600, b"\xff" * 4000, b'EHLO x\r\nMAIL FROM:<"\r\n')


def test_noise_from_a_stranger_stops_no_program(submission: Submission, ops: Account, secret: str) -> None:
    for port, noise in itertools.product((submission.starttls, submission.tls), NOISE):
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)) as stranger:
            stranger.sendall(noise)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(1000):
                pass
    with submission.connect(secret) as client:
        assert send(client).startswith("250")


def test_several_processes_listen_on_one_port(certificates: Certificates, submission: Submission, secret: str) -> None:
    other = Submission(certificates, SubmissionLimits(connections=0), port=submission.starttls)
    greetings = set[bytes]()

    def both_have_greeted() -> bool:
        with socket.create_connection(("127.0.0.1", submission.starttls), timeout=20) as found:
            greetings.add(found.recv(3))
        return greetings == {b"220", b"421"}

    wait_until(both_have_greeted, seconds=60, what="each of two servers")
    other.stop()
