"""Finding a domain's servers, with real parts: an HTTPS server, a name server, Dovecot, SMTP servers, on loopback."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from mailbox import discovery, discovery_probe, outside
from mailbox.discovered import Discovery, Flaw, Outcome, Source
from mailbox.discovery import Reach, discover
from mailbox.discovery_dns import Dns
from mailbox.discovery_probe import Candidate
from mailbox.outside import Network, Refused
from pathlib import Path
from typing import Any

import pytest

from tests.mailbox.test_discovered import config, server_xml
from tests.mailbox.test_image_fetch import ImageServer
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.dns import DnsServer
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SmtpServer

LOOPBACK = ipaddress.ip_address("127.0.0.1")
EMAIL, DOMAIN = "ann@example.test", "example.test"
NAMES = tuple(f"{name}.{DOMAIN}" for name in ("autoconfig", "imap", "mail", "smtp"))
CONFIG = f"/mail/config-v1.1.xml?emailaddress=ann%40{DOMAIN}"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"


class Domain:
    """A domain with everything it may publish; what a test does not set up is not there."""

    def __init__(self, folder: Path) -> None:
        self.certificates: Certificates = make_certificates(folder, names=(DOMAIN, *NAMES, "localhost"))
        self.web = ImageServer(self.certificates)
        self.dns = DnsServer()
        self.hosts = {DOMAIN, *NAMES}
        self.private: set[str] = set()
        self.ports: dict[int, int] = {}
        self.connected: list[str] = []
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused

    @property
    def is_asked_on_the_web(self) -> list[str]:
        return [path for path, _headers in self.web.asked]

    def publishes(self, document: bytes, path: str = CONFIG, **headers: str) -> None:
        self.web.says(path, document, **headers)

    def reach(self, **more: Any) -> Reach:
        def resolve(host: str, port: int) -> list[outside.Address]:
            self.connected.append(f"{host}:{port}")
            if host not in self.hosts | self.private:
                raise Refused("The host's name is not known.")
            return [ipaddress.ip_address("10.0.0.1") if host in self.private else LOOPBACK]

        network = Network(
            resolve=resolve,
            is_allowed=lambda address: address == LOOPBACK,
            ports=lambda scheme: self.web.port,
            context=self.certificates.client_context,
            seconds=3.0,
        )
        closed = self._closed.getsockname()[1]
        options = {
            "network": network,
            "dns": Dns(self.dns.resolver(), 1.0),
            "port_of": lambda port: self.ports.get(port, closed),
        }
        return Reach(**(options | more))

    def stop(self) -> None:
        self.web.stop()
        self.dns.stop()
        self._closed.close()


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[Domain]:
    made = Domain(tmp_path)
    made.web.answers.update({path: lambda request: request.send_error(404) for path in (CONFIG, WELL_KNOWN)})
    yield made
    made.stop()


def where(found: Discovery) -> dict[str, tuple[str, int, str, Source]]:
    """kind -> (host, port, security, source) of what was taken."""
    taken = [each for each in (found.imap, found.smtp) if each]
    return {each.kind: (each.host, each.port, each.security, found.sources[each.kind]) for each in taken}


BOTH = config(server_xml(host=f"imap.{DOMAIN}"), server_xml("smtp", f"smtp.{DOMAIN}", "587", "STARTTLS"))


# --- Autoconfiguration ------------------------------------------------------------------------------------------
def test_the_domains_own_autoconfiguration_is_believed_and_nothing_else_is_asked(domain: Domain) -> None:
    domain.publishes(BOTH)
    found = discover(EMAIL, domain.reach())
    assert where(found) == {
        "imap": (f"imap.{DOMAIN}", 993, "tls", Source.AUTOCONFIG),
        "smtp": (f"smtp.{DOMAIN}", 587, "starttls", Source.AUTOCONFIG),
    }
    assert domain.is_asked_on_the_web == [CONFIG]
    assert domain.dns.asked == []
    step = found.step_of("imap")
    assert step
    assert step.where == f"autoconfig.{DOMAIN}/mail/config-v1.1.xml", "the address that was asked with is not kept"


def test_the_well_known_place_is_asked_second(domain: Domain) -> None:
    domain.publishes(BOTH, WELL_KNOWN)
    assert where(discover(EMAIL, domain.reach()))["imap"][3] == Source.AUTOCONFIG
    assert domain.is_asked_on_the_web == [CONFIG, WELL_KNOWN]


def test_a_redirect_is_followed_to_https_only(domain: Domain) -> None:
    elsewhere = f"https://{DOMAIN}{WELL_KNOWN}"
    domain.web.answers[CONFIG] = redirect(elsewhere)
    domain.publishes(BOTH, WELL_KNOWN)
    assert discover(EMAIL, domain.reach()).is_complete
    domain.web.answers[CONFIG] = domain.web.answers[WELL_KNOWN] = redirect(f"http://{DOMAIN}/config.xml")
    found = discover(EMAIL, domain.reach())
    assert not found.is_complete
    assert "Only https addresses are fetched." in [step.said for step in found.steps]


def redirect(location: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def test_a_redirect_into_the_inner_network_is_judged_again(domain: Domain) -> None:
    domain.private.add("inner.example")
    domain.web.answers[CONFIG] = redirect("https://inner.example/secrets")
    found = discover(EMAIL, domain.reach())
    assert "The host is not on the public Internet." in [step.said for step in found.steps]


def test_a_host_in_the_inner_network_that_is_published_is_not_taken(domain: Domain) -> None:
    domain.private.add("router.example")
    domain.publishes(config(server_xml(host="router.example"), server_xml("smtp", f"smtp.{DOMAIN}", "465")))
    found = discover(EMAIL, domain.reach())
    assert "imap" not in where(found)
    assert where(found)["smtp"][3] == Source.AUTOCONFIG
    assert (Outcome.UNUSABLE, Flaw.NOT_PUBLIC) in [(step.outcome, step.flaw) for step in found.steps]


@pytest.mark.parametrize(
    ("security", "flaw"), [("plain", Flaw.PLAIN), ("STARTTLS", Flaw.STARTTLS), ("", Flaw.PLAIN), ("SSL9", Flaw.PLAIN)]
)
def test_imap_that_begins_in_clear_is_told_and_not_taken(domain: Domain, security: str, flaw: Flaw) -> None:
    domain.publishes(config(server_xml(host=f"imap.{DOMAIN}", port="143", security=security)))
    found = discover(EMAIL, domain.reach())
    assert where(found) == {}
    told = [step for step in found.steps if step.outcome == Outcome.UNUSABLE]
    assert [(step.said, step.flaw, step.kind) for step in told] == [(f"imap.{DOMAIN}:143", flaw, "imap")]


def test_an_acceptable_server_behind_an_unacceptable_one_is_taken(domain: Domain) -> None:
    domain.publishes(
        config(
            server_xml(host=f"imap.{DOMAIN}", port="143", security="STARTTLS"),
            server_xml(host=f"imap.{DOMAIN}"),
            server_xml("smtp", f"smtp.{DOMAIN}", "465"),
        )
    )
    found = discover(EMAIL, domain.reach())
    assert found.is_complete
    assert not [step for step in found.steps if step.outcome == Outcome.UNUSABLE]


def test_hostile_documents_end_in_words(domain: Domain) -> None:
    laughs = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "' + b"&a;" * 1000 + b'">]>' + config("&b;")
    for document, words in (
        (laughs, "document type"),
        (b"<clientConfig>" + b" " * discovery.MAX_DOCUMENT, "larger than 100 kB"),
        (b"<html>a page for everything", "well-formed"),
    ):
        domain.publishes(document)
        found = discover(EMAIL, domain.reach())
        assert where(found) == {}
        assert [step for step in found.steps if words in step.said], words


def test_a_server_that_drips_is_left_at_the_deadline(domain: Domain) -> None:
    over = threading.Event()

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not over.wait(0.05):
                request.wfile.write(b"<")

    domain.web.answers[CONFIG] = drip
    began = time.monotonic()
    reach = domain.reach()
    with pytest.raises(Refused, match="took too long"):
        outside.get(
            f"https://autoconfig.{DOMAIN}{CONFIG}", discovery.WANTED, Network(**vars(reach.network) | {"seconds": 0.5})
        )
    over.set()
    assert time.monotonic() - began < 5


def test_a_certificate_that_is_not_verified_ends_the_asking(domain: Domain) -> None:
    domain.publishes(BOTH)
    network = Network(**vars(domain.reach().network) | {"context": ssl.create_default_context})
    found = discover(EMAIL, domain.reach(network=network))
    assert "The server's certificate cannot be trusted." in [step.said for step in found.steps]
    assert domain.is_asked_on_the_web == []


def test_of_many_names_that_are_not_there_only_a_few_are_looked_up(domain: Domain) -> None:
    """A stranger's name servers may take as long as they like for each."""
    many = [server_xml(host=f"h{number}.{DOMAIN}") for number in range(20)]
    domain.publishes(config(*many))
    discover(EMAIL, domain.reach())
    asked = [name for name in domain.connected if name.startswith("h")]
    assert asked == [f"h{number}.{DOMAIN}:993" for number in range(discovery.MAX_FLAWED)]


# --- DNS --------------------------------------------------------------------------------------------------------
def test_srv_records_name_the_servers_the_best_first(domain: Domain) -> None:
    domain.dns.says(
        f"_imaps._tcp.{DOMAIN}",
        "SRV",
        f"20 0 993 mail.{DOMAIN}.",
        f"10 1 993 smtp.{DOMAIN}.",
        f"10 9 1993 imap.{DOMAIN}.",
    )
    domain.dns.says(f"_submission._tcp.{DOMAIN}", "SRV", f"0 1 587 smtp.{DOMAIN}.")
    found = discover(EMAIL, domain.reach())
    assert where(found) == {
        "imap": (f"imap.{DOMAIN}", 1993, "tls", Source.SRV),
        "smtp": (f"smtp.{DOMAIN}", 587, "starttls", Source.SRV),
    }


def test_submission_with_tls_from_the_first_byte_is_preferred(domain: Domain) -> None:
    for service, port in (("_imaps", 993), ("_submissions", 465), ("_submission", 587)):
        domain.dns.says(f"{service}._tcp.{DOMAIN}", "SRV", f"0 1 {port} mail.{DOMAIN}.")
    assert where(discover(EMAIL, domain.reach()))["smtp"][:3] == (f"mail.{DOMAIN}", 465, "tls")
    assert f"_submission._tcp.{DOMAIN} SRV" not in domain.dns.asked


def test_a_service_that_is_said_not_to_be_there_is_none(domain: Domain) -> None:
    domain.dns.says(f"_imaps._tcp.{DOMAIN}", "SRV", "0 0 0 .")
    assert where(discover(EMAIL, domain.reach())) == {}


def test_imap_with_starttls_only_in_dns_is_told(domain: Domain) -> None:
    domain.dns.says(f"_imap._tcp.{DOMAIN}", "SRV", f"0 1 143 imap.{DOMAIN}.")
    found = discover(EMAIL, domain.reach())
    assert (Source.SRV, Flaw.STARTTLS) in [(step.source, step.flaw) for step in found.steps]


def test_what_one_source_lacks_comes_from_the_next(domain: Domain) -> None:
    domain.publishes(config(server_xml(host=f"imap.{DOMAIN}")))
    domain.dns.says(f"_submissions._tcp.{DOMAIN}", "SRV", f"0 1 465 smtp.{DOMAIN}.")
    found = discover(EMAIL, domain.reach())
    assert found.sources == {"imap": Source.AUTOCONFIG, "smtp": Source.SRV}
    assert f"_imaps._tcp.{DOMAIN} SRV" not in domain.dns.asked


def test_a_receiver_that_is_a_known_provider_gives_its_settings(domain: Domain) -> None:
    domain.dns.says(DOMAIN, "MX", "20 backup.example.org.", "10 aspmx.l.google.com.")
    found = discover(EMAIL, domain.reach())
    assert where(found)["imap"] == ("imap.gmail.com", 993, "tls", Source.MX)
    assert (found.preset, found.imap and found.imap.user) == ("gmail", EMAIL)


def test_a_receiver_nobody_knows_is_named(domain: Domain) -> None:
    domain.dns.says(DOMAIN, "MX", "10 mx.example.org.")
    steps = [step for step in discover(EMAIL, domain.reach()).steps if step.source == Source.MX]
    assert [(step.outcome, step.said) for step in steps] == [(Outcome.NOTHING, "mx.example.org")]


def test_a_name_server_that_is_silent_or_broken_ends_in_words(domain: Domain) -> None:
    domain.dns.is_deaf = True
    reach = domain.reach(dns=Dns(domain.dns.resolver(), 0.2))
    silent = [
        step for step in discover(EMAIL, reach).steps if step.outcome == Outcome.FAILED and step.source == Source.SRV
    ]
    assert {step.said for step in silent} == {"The name server did not answer in time."}
    domain.dns.is_deaf, domain.dns.is_broken = False, True
    assert not discover(EMAIL, reach).is_complete


def test_a_providers_own_domain_asks_nobody(domain: Domain) -> None:
    found = discover("ann@gmail.com", domain.reach())
    assert (found.preset, found.sources["imap"], domain.connected, domain.dns.asked) == ("gmail", Source.PRESET, [], [])


@pytest.mark.parametrize("email", ["ann@localhost", "ann@[10.0.0.1]", "ann@10.0.0.1"])
def test_what_is_no_name_of_dns_is_not_asked(domain: Domain, email: str) -> None:
    assert where(discover(email, domain.reach())) == {}
    assert (domain.connected, domain.dns.asked) == ([], [])


def test_the_time_for_all_of_it_ends(domain: Domain) -> None:
    clock = iter(range(0, 10_000, 30))
    found = discover(EMAIL, domain.reach(clock=lambda: float(next(clock)), seconds=45))
    assert [step.source for step in found.steps if step.outcome == Outcome.SKIPPED] == [
        Source.SRV,
        Source.MX,
        Source.GUESS,
    ]


# --- Usual names ------------------------------------------------------------------------------------------------
def test_a_real_dovecot_and_a_real_smtp_server_are_found_by_their_names(
    domain: Domain, dovecot: Dovecot, smtp_server: Callable[..., SmtpServer]
) -> None:
    """Dovecot's certificate is for localhost, so that it is asked by that name here."""
    smtp = smtp_server("starttls")
    domain.hosts |= {"localhost"}
    domain.ports = {993: dovecot.imap_port, 587: smtp.port}
    network = Network(**vars(domain.reach().network) | {"context": dovecot.certificates.client_context})
    discovery_probe.probe(Candidate("imap", "localhost", 993, "tls"), network, lambda port: domain.ports[port])
    network = Network(**vars(network) | {"context": smtp.certificates.client_context})  # type: ignore[union-attr]
    discovery_probe.probe(Candidate("smtp", "localhost", 587, "starttls"), network, lambda port: domain.ports[port])
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
        "imap": (f"mail.{DOMAIN}", 993, "tls", Source.GUESS),
        "smtp": (f"smtp.{DOMAIN}", 465, "tls", Source.GUESS),
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
        with pytest.raises(Refused, match=sentence):
            discovery_probe.probe(asked, domain.reach().network, lambda _port: server.port, 3)


def test_bytes_in_clear_behind_starttls_are_refused(domain: Domain) -> None:
    with (
        listening(
            domain.certificates, b"", in_clear=b"220 a\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n"
        ) as server,
        pytest.raises(Refused, match="more than its answer to STARTTLS"),
    ):
        asked = Candidate("smtp", f"mail.{DOMAIN}", 587, "starttls")
        discovery_probe.probe(asked, domain.reach().network, lambda _port: server.port, 3)


def test_a_certificate_of_another_name_is_refused(domain: Domain) -> None:
    domain.hosts.add("other.example")
    with listening(domain.certificates, b"* OK Hello\r\n") as server, pytest.raises(Refused, match="cannot be trusted"):
        asked = Candidate("imap", "other.example", 993, "tls")
        discovery_probe.probe(asked, domain.reach().network, lambda _port: server.port, 3)


def test_a_server_that_says_nothing_is_left_at_the_deadline(domain: Domain) -> None:
    began = time.monotonic()
    with listening(domain.certificates, b"") as server, pytest.raises(Refused, match="did not answer in time"):
        asked = Candidate("imap", f"imap.{DOMAIN}", 993, "tls")
        discovery_probe.probe(asked, domain.reach().network, lambda _port: server.port, 0.5)
    assert time.monotonic() - began < 4
