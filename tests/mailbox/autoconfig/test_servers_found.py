"""What is known of providers by heart, and what a stranger's autoconfiguration document may say. Tables of cases."""

from __future__ import annotations

import json
import time

import pytest

from mailbox.autoconfig import mozilla_xml
from mailbox.autoconfig.mozilla_xml import ConfigInvalid
from mailbox.autoconfig.servers import (
    Discovery,
    LookupOutcome,
    LookupStep,
    ServerRefusal,
    ServerSettings,
    SettingsSource,
    domain_of,
    from_json,
    of_preset,
    preset_of_domain,
    preset_of_receiver,
    to_json,
)

EMAIL = "ann@example.com"


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        *(("gmail.com", "gmail"), ("GoogleMail.com", "gmail")),
        *(("outlook.com", "outlook"), ("hotmail.co.uk", "outlook"), ("live.de", "outlook"), ("msn.com", "outlook")),
        *(("office365.com", "outlook"), ("contoso.onmicrosoft.com", "outlook"), ("outlook.com.br", "outlook")),
        *(("yahoo.com", "yahoo"), ("yahoo.de", "yahoo"), ("yahoo.co.uk", "yahoo"), ("ymail.com", "yahoo")),
        *(("fastmail.com", "fastmail"), ("fastmail.fm", "fastmail"), ("fastmail.net", "fastmail")),
        *(("proton.me", "protonmail"), ("protonmail.com", "protonmail"), ("pm.me", "protonmail")),
    ],
)
def test_a_providers_own_domain_is_known(domain: str, key: str) -> None:
    preset = preset_of_domain(domain)
    assert preset
    assert preset.key == key


@pytest.mark.parametrize(
    "domain",
    [
        *("example.com", "gmail.com.evil.example", "notgmail.com", "gmail.de", "yahoo.co.jp", "yahoo.evil.com"),
        *("mail.yahoo.com", "fastmail.evil.com", "fastmail.com.evil", "onmicrosoft.com", "a.b.onmicrosoft.com", ""),
        *("outlook.evil.com", "gmail.com\n", "gmailXcom"),
    ],
)
def test_a_name_that_only_looks_like_a_providers_is_not_taken_for_it(domain: str) -> None:
    assert preset_of_domain(domain) is None


@pytest.mark.parametrize(
    ("host", "key"),
    [
        *(("aspmx.l.google.com", "gmail"), ("smtp.google.com.", "gmail"), ("alt1.aspmx.l.googlemail.com", "gmail")),
        *(("example-com.mail.protection.outlook.com", "outlook"), ("contoso.a-v1.mx.microsoft", "outlook")),
        *(("mta5.am0.yahoodns.net", "yahoo"), ("in1-smtp.messagingengine.com", "fastmail")),
        *(("mail.protonmail.ch", "protonmail"), ("mx.example.com", None), ("google.com.evil.example", None)),
        *(("notgoogle.com", None), ("", None)),
    ],
)
def test_who_receives_a_domains_mail_tells_the_provider(host: str, key: str | None) -> None:
    preset = preset_of_receiver(host)
    assert (preset.key if preset else None) == key


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        *(("ann@example.com", "example.com"), ("Ann@EXAMPLE.com.", "example.com")),
        *(("ann@müller.example", "xn--mller-kva.example"), ("ann@例え.example", "xn--r8jz45g.example")),
        *(("ann@localhost", None), ("ann@[127.0.0.1]", None), ("ann@127.0.0.1", None), ("ann", None), ("ann@", None)),
        *(("ann@-a.example", None), ("ann@a..example", None), ("ann@a_b.example", None)),
        *((f"ann@{'a' * 64}.example", None), (f"ann@{'.'.join(['a' * 60] * 5)}", None), ("ann@a/b.example", None)),
    ],
)
def test_only_a_name_of_dns_is_looked_up(email: str, domain: str | None) -> None:
    assert domain_of(email) == domain


@pytest.mark.parametrize(
    ("server", "flaw"),
    [
        (ServerSettings("imap", "imap.example.com", 993, "tls", EMAIL), None),
        (ServerSettings("smtp", "smtp.example.com", 587, "starttls", EMAIL), None),
        (ServerSettings("imap", "imap.example.com", 143, "starttls", EMAIL), ServerRefusal.STARTTLS),
        (ServerSettings("imap", "imap.example.com", 143, "plain", EMAIL), ServerRefusal.PLAIN),
        (ServerSettings("smtp", "smtp.example.com", 25, "plain", EMAIL), ServerRefusal.PLAIN),
        (ServerSettings("imap", "", 993, "tls", EMAIL), ServerRefusal.NONSENSE),
        (ServerSettings("imap", "imap.example.com", 0, "tls", EMAIL), ServerRefusal.NONSENSE),
        (ServerSettings("imap", "imap.example.com", 65536, "tls", EMAIL), ServerRefusal.NONSENSE),
        (ServerSettings("imap", "imap example", 993, "tls", EMAIL), ServerRefusal.NONSENSE),
        (ServerSettings("imap", "a" * 254, 993, "tls", EMAIL), ServerRefusal.NONSENSE),
    ],
)
def test_only_what_an_account_may_have_is_taken(server: ServerSettings, flaw: ServerRefusal | None) -> None:
    assert server.flaw() == flaw


def test_what_was_found_is_kept_and_read_again() -> None:
    found = of_preset(preset_of_domain("gmail.com"), EMAIL, SettingsSource.MX, "aspmx.l.google.com")  # type: ignore[arg-type]
    found.steps.append(
        LookupStep(
            SettingsSource.SRV,
            "_imap._tcp.example.com",
            LookupOutcome.UNUSABLE,
            "x:143",
            ServerRefusal.STARTTLS,
            "imap",
        )
    )
    assert from_json(json.loads(json.dumps(to_json(found)))) == found
    assert from_json(to_json(Discovery())) == Discovery()


def test_what_strangers_wrote_is_cut_and_holds_nothing_a_database_refuses() -> None:
    found = Discovery(
        steps=[LookupStep(SettingsSource.GUESS, "x", LookupOutcome.NOTHING, "bad\x00\ud800" + "a" * 9000)]
    )
    said = to_json(found)["steps"][0]["said"]
    assert said.startswith("bad  aaa")
    assert len(said) == 400


# --- Autoconfiguration ------------------------------------------------------------------------------------------
def server_xml(kind: str = "imap", host: str = "imap.example.com", port: str = "993", security: str = "SSL") -> str:
    name = "incomingServer" if kind in ("imap", "pop3") else "outgoingServer"
    return (
        f'<{name} type="{kind}"><hostname>{host}</hostname><port>{port}</port><socketType>{security}</socketType>'
        f"<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></{name}>"
    )


def config(*servers: str) -> bytes:
    inner = "".join(servers)
    return f'<clientConfig version="1.1"><emailProvider id="x">{inner}</emailProvider></clientConfig>'.encode()


def test_the_servers_are_read_in_their_order_with_their_security() -> None:
    document = config(
        server_xml("pop3", "pop.example.com", "995"),
        server_xml("imap", " IMAP.example.com. "),
        server_xml("imap", "imap.example.com", "143", "STARTTLS"),
        server_xml("smtp", "smtp.example.com", "465"),
        server_xml("smtp", "smtp.example.com", "25", "plain"),
    )
    assert mozilla_xml.read(document, EMAIL) == [
        ServerSettings("imap", "imap.example.com", 993, "tls", EMAIL),
        ServerSettings("imap", "imap.example.com", 143, "starttls", EMAIL),
        ServerSettings("smtp", "smtp.example.com", 465, "tls", EMAIL),
        ServerSettings("smtp", "smtp.example.com", 25, "plain", EMAIL),
    ]


def test_names_in_it_are_filled_from_the_address() -> None:
    document = config(
        '<incomingServer type="imap"><hostname>imap.%EMAILDOMAIN%</hostname><port>993</port>'
        "<socketType>SSL</socketType><username>%EMAILLOCALPART%</username></incomingServer>"
    )
    (server,) = mozilla_xml.read(document, EMAIL)
    assert (server.host, server.user) == ("imap.example.com", "ann")


@pytest.mark.parametrize(
    ("offered", "auth"),
    [
        (["OAuth2"], "oauth"),
        (["OAuth2", "password-cleartext"], "password"),
        (["password-encrypted"], "password"),
        ([], "password"),
    ],
)
def test_only_a_server_that_takes_nothing_but_tokens_asks_for_one(offered: list[str], auth: str) -> None:
    ways = "".join(f"<authentication>{each}</authentication>" for each in offered)
    document = config(f'<incomingServer type="imap"><hostname>a.example</hostname>{ways}</incomingServer>')
    assert mozilla_xml.read(document, EMAIL)[0].auth == auth


@pytest.mark.parametrize("user", ["", "a" * 321, "a\tb", "\u202e"])
def test_a_user_name_that_cannot_be_one_becomes_the_address(user: str) -> None:
    document = config(f'<incomingServer type="imap"><username>{user}</username></incomingServer>')
    assert mozilla_xml.read(document, EMAIL)[0].user == EMAIL


LAUGHS = b'<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = b'<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (LAUGHS + config("&b;"), "document type"),
        (OUTSIDE + config("&x;"), "document type"),
        (b'<!DOCTYPE c SYSTEM "http://127.0.0.1/x.dtd">' + config(), "document type"),
        (config("&x;"), "well-formed"),
        (b"<html><body>Not found", "well-formed"),
        (b"<html></html>", "no clientConfig"),
        (b"", "well-formed"),
        (b"\x00\xff\xfe", "well-formed"),
        (b'<?xml version="1.0" encoding="cp-of-nobody"?>' + config(), "well-formed"),
        (b"<clientConfig>" + b"<a>" * 50, "nested too deeply"),
    ],
)
def test_a_document_that_is_none_or_meant_to_harm_is_refused(document: bytes, sentence: str) -> None:
    with pytest.raises(ConfigInvalid, match=sentence):
        mozilla_xml.read(document, EMAIL)


def test_a_document_of_the_largest_size_is_read_at_once() -> None:
    document = config(*[server_xml()] * 600)[:99_000]
    began = time.process_time()
    with pytest.raises(ConfigInvalid):
        mozilla_xml.read(document, EMAIL)
    text = config("<incomingServer type='imap'><hostname>", "a" * 90_000, "</hostname></incomingServer>")
    assert mozilla_xml.read(text, EMAIL)[0].flaw() == ServerRefusal.NONSENSE
    assert time.process_time() - began < 1


def test_of_many_servers_only_the_first_count() -> None:
    assert len(mozilla_xml.read(config(*[server_xml()] * 300), EMAIL)) == mozilla_xml.MAX_SERVERS
