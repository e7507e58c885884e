"""EHLO says a name: Google's relay and others refuse an address literal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from mailbox.models import Account
from outbox import api
from prx_email_site.ehlo_name import ehlo_name
from prx_email_site.environment import SettingError
from tests.servers.smtp import SmtpServer


@pytest.mark.parametrize(
    ("setting", "base_host", "machine", "expected"),
    [
        ("relay.example.org", "mail.example.org", "host7", "relay.example.org"),
        ("", "mail.example.org", "host7", "mail.example.org"),
        ("", "Mail.Example.ORG.", "host7", "Mail.Example.ORG"),
        ("", "127.0.0.1", "host7.example.org", "host7.example.org"),
        ("", "localhost", "host7", "host7"),
        ("", "::1", "host7", "host7"),
        ("", "post.bücher.example", "host7", "post.xn--bcher-kva.example"),
        ("", "127.0.0.1", "localhost", ""),
        ("", "", "my laptop", ""),
        ("", "192.0.2.7", "ab_c", ""),
    ],
)
def test_the_name_is_the_setting_or_the_sites_or_the_machines(
    setting: str, base_host: str, machine: str, expected: str
) -> None:
    assert ehlo_name(setting, base_host, machine) == expected


@pytest.mark.parametrize("setting", ["[127.0.0.1]", "127.0.0.1", "a name", "x\r\nMAIL", "localhost", "-a.example"])
def test_a_setting_that_is_no_host_name_is_refused(setting: str) -> None:
    with pytest.raises(SettingError, match="PRX_EMAIL_EHLO_NAME"):
        ehlo_name(setting, "mail.example.org", "host7")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "said"), [("mail.example.org", "mail.example.org"), ("", "[127.0.0.1]")])
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_the_server_is_told_it_before_and_after_starttls(
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    settings: Settings,
    name: str,
    said: str,
    security: str,
) -> None:
    settings.EHLO_NAME = name
    server = smtp_server(security)
    assert api.send(account_on(server).pk, "bob@example.test", "Hello", "A text.").ok
    assert server.said("EHLO") == [f"EHLO {said}"] * (2 if security == "starttls" else 1)
