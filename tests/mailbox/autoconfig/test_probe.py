"""Finding a domain's servers by their usual names: real ones are taken, and what is none is refused in words."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable

import pytest

from mailbox.autoconfig import probe
from mailbox.autoconfig.discover import discover
from mailbox.autoconfig.probe import Candidate
from mailbox.autoconfig.servers import SettingsSource
from mailbox.safe_http import FetchRefused, Network
from tests.mailbox.autoconfig.one_domain import DOMAIN, EMAIL, Domain, domain, where
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SmtpServer

__all__ = ["domain"]


def test_a_real_dovecot_and_a_real_smtp_server_are_found_by_their_names(
    domain: Domain, dovecot: Dovecot, smtp_server: Callable[..., SmtpServer]
) -> None:
    """Dovecot's certificate is for localhost, so that it is asked by that name here."""
    smtp = smtp_server("starttls")
    domain.hosts |= {"localhost"}
    domain.ports = {993: dovecot.imap_port, 587: smtp.port}
    network = Network(**vars(domain.reach().network) | {"context": dovecot.certificates.client_context})
    probe.probe(Candidate("imap", "localhost", 993, "tls"), network, lambda port: domain.ports[port])
    network = Network(**vars(network) | {"context": smtp.certificates.client_context})  # type: ignore[union-attr]
    probe.probe(Candidate("smtp", "localhost", 587, "starttls"), network, lambda port: domain.ports[port])
    until = time.monotonic() + 10
    while "QUIT" not in smtp.commands and time.monotonic() < until:  # its answer is not waited for
        time.sleep(0.01)
    assert [line.split(" ")[0] for line in smtp.commands] == ["EHLO", "STARTTLS", "QUIT"], "nothing else is said"


def test_usual_names_are_tried_last_and_the_first_good_one_is_taken(domain: Domain) -> None:
    with listening(domain.certificates, b"* OK Hello\r\n") as imap, SmtpHere(domain.certificates) as smtp:
        domain.hosts.discard(f"imap.{DOMAIN}")
        domain.ports = {993: imap.port, 465: smtp.port}
        found = discover(EMAIL, domain.reach())
    assert where(found) == {
        "imap": (f"mail.{DOMAIN}", 993, "tls", SettingsSource.GUESS),
        "smtp": (f"smtp.{DOMAIN}", 465, "tls", SettingsSource.GUESS),
    }
    assert b"LOGIN" not in imap.heard + smtp.heard
    assert b"AUTH" not in imap.heard + smtp.heard


def test_a_usual_name_in_the_inner_network_is_not_connected_to(domain: Domain) -> None:
    domain.hosts -= {f"imap.{DOMAIN}", f"mail.{DOMAIN}", f"smtp.{DOMAIN}"}
    domain.private |= {f"imap.{DOMAIN}", f"mail.{DOMAIN}", f"smtp.{DOMAIN}"}
    with listening(domain.certificates, b"* OK Hello\r\n") as server:
        domain.ports = {993: server.port, 465: server.port, 587: server.port}
        assert where(discover(EMAIL, domain.reach())) == {}
    assert server.connections == 0


class listening:
    """A TLS server that says one thing to everyone and keeps what it hears."""

    def __init__(self, certificates: Certificates | None, words: bytes, *, in_clear: bytes | None = None) -> None:
        self.context = certificates.server_context() if certificates else None
        self.words, self.in_clear = words, in_clear
        self.heard, self.connections = b"", 0

    def __enter__(self) -> listening:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _address = self.socket.accept()
                self.connections += 1
                threading.Thread(target=self._converse, args=(plain,), daemon=True).start()

    def _converse(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            connection: socket.socket = plain
            if self.in_clear is not None:
                plain.sendall(self.in_clear)
            elif self.context:
                connection = self.context.wrap_socket(plain, server_side=True)
                connection.sendall(self.words)
            while received := connection.recv(4096):
                self.heard += received

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class SmtpHere(listening):
    def __init__(self, certificates: Certificates) -> None:
        super().__init__(certificates, b"220-Hello\r\n220 there\r\n")


@pytest.mark.parametrize(
    ("words", "in_clear", "candidate", "sentence"),
    [
        (b"* BYE too busy\r\n", None, ("imap", 993, "tls"), "BYE too busy"),
        (b"* PREAUTH hello\r\n", None, ("imap", 993, "tls"), "PREAUTH"),
        (b"HTTP/1.1 400 Bad\r\n", None, ("imap", 993, "tls"), "HTTP/1.1"),
        (b"554 go away\r\n", None, ("smtp", 465, "tls"), "554 go away"),
        (b"x" * 20_000, None, ("imap", 993, "tls"), "without end"),
        (b"", b"220 hello\r\n250 fine\r\n", ("smtp", 587, "starttls"), "does not offer STARTTLS"),
        (b"", b"* OK plain text\r\n", ("imap", 993, "tls"), "speaks no TLS"),
    ],
)
def test_what_is_no_mail_server_with_tls_is_refused_in_words(
    domain: Domain, words: bytes, in_clear: bytes | None, candidate: tuple[str, int, str], sentence: str
) -> None:
    kind, port, security = candidate
    with listening(domain.certificates, words, in_clear=in_clear) as server:
        asked = Candidate(kind, f"mail.{DOMAIN}", port, security)
        with pytest.raises(FetchRefused, match=sentence):
            probe.probe(asked, domain.reach().network, lambda _port: server.port, 3)


def test_a_server_is_found_at_its_second_address_when_the_first_one_does_not_answer(
    domain: Domain, dovecot: Dovecot
) -> None:
    v6, v4 = ipaddress.ip_address("::1"), ipaddress.ip_address("127.0.0.1")  # this Dovecot listens on IPv4 alone
    changes = {"resolve": lambda _host, _port: [v6, v4], "context": dovecot.certificates.client_context}
    network = Network(**vars(domain.reach().network) | changes | {"is_allowed": lambda _address: True})
    probe.probe(Candidate("imap", "localhost", 993, "tls"), network, lambda _port: dovecot.imap_port)


def test_bytes_in_clear_behind_starttls_are_refused(domain: Domain) -> None:
    with (
        listening(
            domain.certificates, b"", in_clear=b"220 a\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n"
        ) as server,
        pytest.raises(FetchRefused, match="more than its answer to STARTTLS"),
    ):
        asked = Candidate("smtp", f"mail.{DOMAIN}", 587, "starttls")
        probe.probe(asked, domain.reach().network, lambda _port: server.port, 3)


def test_a_certificate_of_another_name_is_refused(domain: Domain) -> None:
    domain.hosts.add("other.example")
    with (
        listening(domain.certificates, b"* OK Hello\r\n") as server,
        pytest.raises(FetchRefused, match="cannot be trusted"),
    ):
        asked = Candidate("imap", "other.example", 993, "tls")
        probe.probe(asked, domain.reach().network, lambda _port: server.port, 3)


def test_a_server_that_says_nothing_is_left_at_the_deadline(domain: Domain) -> None:
    with listening(domain.certificates, b"") as server, pytest.raises(FetchRefused, match="did not answer in time"):
        asked = Candidate("imap", f"imap.{DOMAIN}", 993, "tls")
        probe.probe(asked, domain.reach().network, lambda _port: server.port, 0.5)
