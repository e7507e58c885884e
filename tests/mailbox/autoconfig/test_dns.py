"""Finding a domain's servers in DNS, from a real name server: SRV, MX, and when nothing is asked."""

from __future__ import annotations

import pytest

from mailbox.autoconfig.discover import discover
from mailbox.autoconfig.dns import Dns
from mailbox.autoconfig.servers import LookupOutcome, ServerRefusal, SettingsSource
from tests.mailbox.autoconfig.one_domain import DOMAIN, EMAIL, Domain, domain, where
from tests.mailbox.autoconfig.test_servers_found import config, server_xml

__all__ = ["domain"]


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
        "imap": (f"imap.{DOMAIN}", 1993, "tls", SettingsSource.SRV),
        "smtp": (f"smtp.{DOMAIN}", 587, "starttls", SettingsSource.SRV),
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
    assert (SettingsSource.SRV, ServerRefusal.STARTTLS) in [(step.source, step.flaw) for step in found.steps]


def test_what_one_source_lacks_comes_from_the_next(domain: Domain) -> None:
    domain.publishes(config(server_xml(host=f"imap.{DOMAIN}")))
    domain.dns.says(f"_submissions._tcp.{DOMAIN}", "SRV", f"0 1 465 smtp.{DOMAIN}.")
    found = discover(EMAIL, domain.reach())
    assert found.sources == {"imap": SettingsSource.AUTOCONFIG, "smtp": SettingsSource.SRV}
    assert f"_imaps._tcp.{DOMAIN} SRV" not in domain.dns.asked


def test_a_receiver_that_is_a_known_provider_gives_its_settings(domain: Domain) -> None:
    domain.dns.says(DOMAIN, "MX", "20 backup.example.org.", "10 aspmx.l.google.com.")
    found = discover(EMAIL, domain.reach())
    assert where(found)["imap"] == ("imap.gmail.com", 993, "tls", SettingsSource.MX)
    assert (found.preset, found.imap and found.imap.user) == ("gmail", EMAIL)


def test_a_receiver_nobody_knows_is_named(domain: Domain) -> None:
    domain.dns.says(DOMAIN, "MX", "10 mx.example.org.")
    steps = [step for step in discover(EMAIL, domain.reach()).steps if step.source == SettingsSource.MX]
    assert [(step.outcome, step.said) for step in steps] == [(LookupOutcome.NOTHING, "mx.example.org")]


def test_a_name_server_that_is_silent_or_broken_ends_in_words(domain: Domain) -> None:
    domain.dns.is_deaf = True
    reach = domain.reach(dns=Dns(domain.dns.resolver(), 0.2))
    silent = [
        step
        for step in discover(EMAIL, reach).steps
        if step.outcome == LookupOutcome.FAILED and step.source == SettingsSource.SRV
    ]
    assert {step.said for step in silent} == {"The name server did not answer in time."}
    domain.dns.is_deaf, domain.dns.is_broken = False, True
    assert not discover(EMAIL, reach).is_complete


def test_a_providers_own_domain_asks_nobody(domain: Domain) -> None:
    found = discover("ann@gmail.com", domain.reach())
    assert (found.preset, found.sources["imap"], domain.connected, domain.dns.asked) == (
        "gmail",
        SettingsSource.PRESET,
        [],
        [],
    )


@pytest.mark.parametrize("email", ["ann@localhost", "ann@[10.0.0.1]", "ann@10.0.0.1"])
def test_what_is_no_name_of_dns_is_not_asked(domain: Domain, email: str) -> None:
    assert where(discover(email, domain.reach())) == {}
    assert (domain.connected, domain.dns.asked) == ([], [])


def test_the_time_for_all_of_it_ends(domain: Domain) -> None:
    clock = iter(range(0, 10_000, 30))
    found = discover(EMAIL, domain.reach(clock=lambda: float(next(clock)), seconds=45))
    assert [step.source for step in found.steps if step.outcome == LookupOutcome.SKIPPED] == [
        SettingsSource.SRV,
        SettingsSource.MX,
        SettingsSource.GUESS,
    ]
