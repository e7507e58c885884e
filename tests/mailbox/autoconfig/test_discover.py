"""Finding a domain's servers in its autoconfiguration, from a real HTTPS server: what is believed, and what is not."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Callable

import pytest

from mailbox import safe_http
from mailbox.autoconfig import discover as autoconfig_discover
from mailbox.autoconfig.discover import discover
from mailbox.autoconfig.servers import LookupOutcome, ServerRefusal, SettingsSource
from mailbox.safe_http import FetchRefused, Network
from tests.mailbox.autoconfig.one_domain import BOTH, CONFIG, DOMAIN, EMAIL, WELL_KNOWN, Domain, domain, where
from tests.mailbox.autoconfig.test_servers_found import config, server_xml

__all__ = ["domain"]


def test_the_domains_own_autoconfiguration_is_believed_and_nothing_else_is_asked(domain: Domain) -> None:
    domain.publishes(BOTH)
    found = discover(EMAIL, domain.reach())
    assert where(found) == {
        "imap": (f"imap.{DOMAIN}", 993, "tls", SettingsSource.AUTOCONFIG),
        "smtp": (f"smtp.{DOMAIN}", 587, "starttls", SettingsSource.AUTOCONFIG),
    }
    assert domain.is_asked_on_the_web == [CONFIG]
    assert domain.dns.asked == []
    step = found.step_of("imap")
    assert step
    assert step.where == f"autoconfig.{DOMAIN}/mail/config-v1.1.xml", "the address that was asked with is not kept"


def test_the_well_known_place_is_asked_second(domain: Domain) -> None:
    domain.publishes(BOTH, WELL_KNOWN)
    assert where(discover(EMAIL, domain.reach()))["imap"][3] == SettingsSource.AUTOCONFIG
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
    assert where(found)["smtp"][3] == SettingsSource.AUTOCONFIG
    assert (LookupOutcome.UNUSABLE, ServerRefusal.NOT_PUBLIC) in [(step.outcome, step.flaw) for step in found.steps]


@pytest.mark.parametrize(
    ("security", "flaw"),
    [
        ("plain", ServerRefusal.PLAIN),
        ("STARTTLS", ServerRefusal.STARTTLS),
        ("", ServerRefusal.PLAIN),
        ("SSL9", ServerRefusal.PLAIN),
    ],
)
def test_imap_that_begins_in_clear_is_told_and_not_taken(domain: Domain, security: str, flaw: ServerRefusal) -> None:
    domain.publishes(config(server_xml(host=f"imap.{DOMAIN}", port="143", security=security)))
    found = discover(EMAIL, domain.reach())
    assert where(found) == {}
    told = [step for step in found.steps if step.outcome == LookupOutcome.UNUSABLE]
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
    assert not [step for step in found.steps if step.outcome == LookupOutcome.UNUSABLE]


def test_hostile_documents_end_in_words(domain: Domain) -> None:
    laughs = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "' + b"&a;" * 1000 + b'">]>' + config("&b;")
    for document, words in (
        (laughs, "document type"),
        (b"<clientConfig>" + b" " * autoconfig_discover.MAX_DOCUMENT, "larger than 100 kB"),
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
    reach = domain.reach()
    with pytest.raises(FetchRefused, match="took too long"):
        safe_http.get(
            f"https://autoconfig.{DOMAIN}{CONFIG}",
            autoconfig_discover.WANTED,
            Network(**vars(reach.network) | {"seconds": 0.5}),
        )
    over.set()


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
    assert asked == [f"h{number}.{DOMAIN}:993" for number in range(autoconfig_discover.MAX_FLAWED)]
