"""Guessing passwords: counted in the database by name and by address, refused before a hash is computed, and traced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from mailbox.models import AuditEntry
from people.sign_in.client_address import client_address, counted_address
from prx_email_site import environment

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
PASSWORD = "the-right-password"


@pytest.fixture
def vera(make_user: Callable[..., User]) -> User:
    return make_user("viewer", "vera", PASSWORD)


def guess(client: Client, name: str = "vera", password: str = "wrong", address: str = "203.0.113.7") -> int:
    return client.post(reverse("login"), {"username": name, "password": password}, REMOTE_ADDR=address).status_code


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each password whose hash was computed."""
    computed: list[str] = []
    verify = hashers.MD5PasswordHasher.verify

    def counting(self: Any, password: str, encoded: str) -> bool:
        computed.append(password)
        return verify(self, password, encoded)

    monkeypatch.setattr(hashers.MD5PasswordHasher, "verify", counting)
    return computed


def test_ten_failures_close_the_name_for_every_address_even_for_the_right_password(
    client: Client, vera: User, hashes: list[str]
) -> None:
    answers = [guess(client, address=f"203.0.113.{number}") for number in range(10)]
    assert answers == [200] * 9 + [429]
    computed = len(hashes)
    assert guess(client, password=PASSWORD, address="198.51.100.1") == 429
    assert len(hashes) == computed, "whoever is locked out costs no hash"
    assert not client.get(reverse("dashboard")).wsgi_request.user.is_authenticated


def test_ten_failures_close_the_address_for_every_name(client: Client, vera: User) -> None:
    for number in range(10):
        guess(client, name=f"somebody-{number}")
    assert guess(client, password=PASSWORD) == 429
    assert guess(client, password=PASSWORD, address="198.51.100.1") == 302


def test_another_browser_string_or_a_forged_header_is_no_new_beginning(client: Client, vera: User) -> None:
    for number in range(10):
        client.post(
            reverse("login"),
            {"username": f"other-{number}", "password": "wrong"},
            HTTP_USER_AGENT=f"browser {number}",
            HTTP_X_FORWARDED_FOR=f"192.0.2.{number}",
        )
    assert client.post(reverse("login"), {"username": "vera", "password": PASSWORD}).status_code == 429


def test_the_lock_ends_by_itself_and_failures_meanwhile_do_not_prolong_it(client: Client, vera: User) -> None:
    for _ in range(10):
        guess(client)
    noted = set(AccessAttempt.objects.values_list("attempt_time", "failures_since_start"))
    assert guess(client) == 429
    assert set(AccessAttempt.objects.values_list("attempt_time", "failures_since_start")) == noted
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert guess(client, password=PASSWORD) == 302


def test_the_page_says_how_long_and_the_same_for_a_name_that_nobody_has(client: Client, vera: User) -> None:
    said = []
    for name in ("vera", "nobody"):
        for number in range(11):
            response = client.post(
                reverse("login"), {"username": name, "password": "x"}, REMOTE_ADDR=f"198.51.{len(said)}.{number}"
            )
        assert response.headers["Retry-After"] == "900"
        said.append(response.content.decode().partition("<main")[2])
    assert "Try again in 15 minutes" in said[0]
    assert said[0] == said[1]


def test_the_old_password_is_guessed_no_more_often(client: Client, vera: User, hashes: list[str]) -> None:
    client.force_login(vera)
    new = {"new_password1": "another-good-one", "new_password2": "another-good-one"}
    url = reverse("password_change")
    answers = [client.post(url, {"old_password": f"guess {number}", **new}).status_code for number in range(10)]
    assert answers == [200] * 9 + [429]
    computed = len(hashes)
    assert client.post(url, {"old_password": PASSWORD, **new}).status_code == 429
    assert len(hashes) == computed
    vera.refresh_from_db()
    assert vera.check_password(PASSWORD)


def test_the_admins_sign_in_is_this_one(client: Client, vera: User) -> None:
    assert client.get(reverse("admin:login")).headers["Location"].startswith(reverse("login"))
    answer = client.post(reverse("admin:login"), {"username": "vera", "password": PASSWORD})
    assert answer.headers["Location"].startswith(reverse("login"))


def test_sign_ins_and_failures_are_in_log_and_audit_and_on_the_profile(
    client: Client, vera: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "people.sign_in.audit")
    guess(client, password="my-secret-typo", address="203.0.113.7")
    guess(client, name="my-secret-in-the-wrong-field", address="203.0.113.7")
    guess(client, password=PASSWORD, address="198.51.100.9")
    entries = [(each.verb, each.target, each.detail) for each in AuditEntry.objects.order_by("pk")]
    target = f"user:{vera.pk}"
    assert entries == [("sign_in_failed", target, "203.0.113.7"), ("sign_in", target, "198.51.100.9")]
    assert [record.getMessage() for record in caplog.records] == ["sign_in_failed", "sign_in_failed", "signed_in"]
    assert "my-secret" not in caplog.text + str([vars(record) for record in caplog.records])
    page = client.get(reverse("profile")).content.decode()
    assert "failed to sign in" in page
    assert "203.0.113.7" in page


def test_a_locked_name_is_written_down_once_however_long_it_is_tried(client: Client, vera: User) -> None:
    for _ in range(30):
        guess(client)
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs == ["sign_in_failed"] * 9 + ["sign_in_locked"]


@pytest.mark.parametrize(
    ("peer", "header", "trusted", "is_from"),
    [
        ("203.0.113.7", "192.0.2.1", "", "203.0.113.7"),
        ("127.0.0.1", "192.0.2.1", "", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1", "127.0.0.1", "192.0.2.1"),
        ("127.0.0.1", "6.6.6.6, 192.0.2.1", "127.0.0.1", "192.0.2.1"),
        ("127.0.0.1", "6.6.6.6, 192.0.2.1, 10.1.2.3", "127.0.0.1,10.0.0.0/8", "192.0.2.1"),
        ("127.0.0.1", "6.6.6.6, unknown, 10.1.2.3", "127.0.0.1,10.0.0.0/8", "10.1.2.3"),
        ("127.0.0.1", "", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "[2001:db8::7]:4711", "127.0.0.1", "2001:db8::7"),
        ("::ffff:127.0.0.1", "192.0.2.1:4711", "127.0.0.1", "192.0.2.1"),
        ("203.0.113.7", "192.0.2.1", "127.0.0.1", "203.0.113.7"),
    ],
)
def test_a_header_is_believed_as_far_as_trusted_proxies_wrote_it(
    rf: RequestFactory,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    peer: str,
    header: str,
    trusted: str,
    is_from: str,
) -> None:
    monkeypatch.setenv("PRX_EMAIL_TRUSTED_PROXIES", trusted)
    settings.TRUSTED_PROXIES = environment.networks("PRX_EMAIL_TRUSTED_PROXIES")
    assert client_address(rf.get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=header)) == is_from


def test_addresses_of_one_ipv6_network_are_one_client(rf: RequestFactory) -> None:
    counted = {counted_address(rf.get("/", REMOTE_ADDR=f"2001:db8:1:2::{number:x}")) for number in range(1, 9)}
    assert counted == {"2001:db8:1:2::"}
    assert counted_address(rf.get("/", REMOTE_ADDR="2001:db8:1:3::1")) == "2001:db8:1:3::"


def test_what_is_no_network_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRX_EMAIL_TRUSTED_PROXIES", "nginx")
    with pytest.raises(environment.SettingError, match="PRX_EMAIL_TRUSTED_PROXIES must be addresses or networks"):
        environment.networks("PRX_EMAIL_TRUSTED_PROXIES")
