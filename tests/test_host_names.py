"""By which names the site is asked: its own, an IPv6 address, a load balancer's; and what is said of any other."""

from __future__ import annotations

import logging

import pytest
from django.http.request import validate_host
from django.test import Client
from pytest_django import Settings

from prx_email_site import environment


@pytest.mark.parametrize(
    "given",
    [
        "mail.example.org",
        "https://mail.example.org/mail",
        "https://mail.example.org?x=1",
        "https://user@mail.example.org",
        "https://",
        "https://mail.example.org:port",
        "ftp://mail.example.org",
    ],
)
def test_a_base_url_that_is_no_address_of_a_host_is_refused_in_a_sentence(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a path no link and no cookie would fit."""
    monkeypatch.setenv("PRX_EMAIL_BASE_URL", given)
    with pytest.raises(environment.SettingError, match="PRX_EMAIL_BASE_URL must be an address such as https://mail"):
        environment.site_address("PRX_EMAIL_BASE_URL", "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("https://mail.example.org/", "mail.example.org"),
        ("https://Mail.Example.org:8443", "mail.example.org:8443"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://[2001:db8::7]", "[2001:db8::7]"),
    ],
)
def test_the_host_of_the_base_url_is_one_that_may_be_asked_for(
    given: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRX_EMAIL_BASE_URL", given)
    address = environment.site_address("PRX_EMAIL_BASE_URL", "")
    assert address.geturl().lower() == given.rstrip("/").lower()
    allowed = environment.hosts([address.hostname or ""])
    assert validate_host(host.rpartition(":")[0] if host[-1].isdigit() else host, allowed)


def test_ipv6_addresses_that_are_allowed_may_be_written_without_brackets() -> None:
    assert environment.hosts(["::1", "[::2]", "mail.example.org", ".example.org"]) == [
        "[::1]", "[::2]", "mail.example.org", ".example.org",
    ]  # fmt: skip


@pytest.mark.django_db
def test_another_name_is_answered_with_the_setting_and_logged_in_a_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.org"]
    with caplog.at_level(logging.WARNING):
        answer = Client(HTTP_HOST="10.1.2.3:8000").get("/login/")
    assert answer.status_code == 400
    assert "PRX_EMAIL_ALLOWED_HOSTS" in answer.content.decode() and "10.1.2.3" not in answer.content.decode()
    (line,) = [each for each in caplog.records if each.name == "django.security.DisallowedHost"]
    assert (line.levelname, line.getMessage(), line.exc_info) == ("WARNING", "host_not_allowed", None)
    assert "'10.1.2.3' to PRX_EMAIL_ALLOWED_HOSTS" in line.fields["reason"]  # type: ignore[attr-defined]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/health/live/", "/health/ready/"])
def test_a_probe_may_ask_by_any_name(settings: Settings, path: str) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.org"]
    assert Client(HTTP_HOST="10.1.2.3:8000").get(path).status_code == 200
