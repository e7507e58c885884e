"""From the command line: a device's sign-in, grants without a person, secrets of a vault and of the environment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management import call_command
from django.utils import timezone

from mailbox.errors import MailError, NetworkError
from mailbox.imap.session import ImapSession
from mailbox.models import Account, OAuthApp, OAuthGrant
from mailbox.oauth import device, refresh
from mailbox.oauth.protocol import Tokens
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.oidc import OidcProvider
from tests.servers.oidc_browser import Person

pytestmark = pytest.mark.django_db


def opens(account: Account) -> bool:
    account = Account.objects.with_transports().get(pk=account.pk)
    refresh.ensure_fresh(account, "imap")
    with ImapSession.open(account.imap_endpoint(), connect_timeout=5, command_timeout=10):
        return True


def test_a_machine_without_a_browser_signs_in(
    app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str, monkeypatch: Any
) -> None:
    account, real = make_account(mail_user), device.wait_for_tokens

    def typed(its: OAuthApp, code: Any, sleep: Any = None) -> Tokens:
        person = threading.Thread(target=lambda: Person(mail_user).enter_code(code.verification_uri, code.user_code))
        person.start()
        return real(its, code, lambda _seconds: person.join())

    monkeypatch.setattr(device, "wait_for_tokens", typed)
    out = StringIO()
    call_command("oauth_login", mail_user, stdout=out)
    assert "type the code" in out.getvalue() and f"{mail_user} is signed in." in out.getvalue()
    assert opens(account)
    assert OAuthGrant.objects.get().encrypted_refresh_token


def test_client_credentials_open_the_mailbox_and_are_asked_for_again(
    app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    oidc.control(applicationMailbox=mail_user, ttl=5)
    account = make_account(mail_user)
    call_command("oauth_login", mail_user, by="application", stdout=StringIO())
    assert opens(account)
    grant = OAuthGrant.objects.get()
    assert (grant.flow, grant.encrypted_refresh_token) == ("application", None)
    assert len(oidc.token_requests("client_credentials")) == 2  # 5 s left: asked for again


def public(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return written


@pytest.fixture
def service_account(
    app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> tuple[Account, rsa.RSAPrivateKey]:
    """An account that signs in by the site's service account, and the key of that."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    oidc.control(serviceKey=public(key))
    app.service_key = json.dumps({"client_email": "robot@project.example", "private_key": pem})
    app.save()
    account = make_account(mail_user)
    call_command("oauth_login", mail_user, by="service-account", stdout=StringIO())
    return account, key


def test_a_service_account_signs_its_own_request(service_account: tuple[Account, rsa.RSAPrivateKey]) -> None:
    assert opens(service_account[0])


def test_a_service_accounts_key_that_is_refused_is_the_sites_fault_and_ends_no_account(
    service_account: tuple[Account, rsa.RSAPrivateKey], oidc: OidcProvider
) -> None:
    account, key = service_account
    oidc.control(serviceKey=public(rsa.generate_private_key(65537, 2048)))
    OAuthGrant.objects.update(expires_at=timezone.now())
    with pytest.raises(NetworkError, match="this site's own client id or secret"):
        opens(account)
    grant = OAuthGrant.objects.get()
    assert grant.failure == OAuthGrant.Failure.APP and "invalid_grant" in grant.last_reply
    assert Account.objects.with_transports().get().imap.needs_sign_in_since is None

    oidc.control(serviceKey=public(key))
    OAuthGrant.objects.update(next_allowed_at=timezone.now())
    assert opens(account)
    assert OAuthGrant.objects.get().failure == ""


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.", "app"),
        ("Invalid email or User ID", "ended"),
    ],
)
def test_a_clock_that_is_wrong_is_told_from_a_mailbox_that_is_unknown(
    service_account: tuple[Account, rsa.RSAPrivateKey], oidc: OidcProvider, words: str, failure: str
) -> None:
    body = {"error": "invalid_grant", "error_description": words}
    oidc.control(fail={"count": 1, "status": 400, "body": body})
    OAuthGrant.objects.update(expires_at=timezone.now())
    with pytest.raises(MailError):
        opens(service_account[0])
    grant = OAuthGrant.objects.get()
    assert grant.failure == failure and words in grant.last_reply


def test_tokens_of_the_environment_are_taken_with_their_end(
    dovecot: Dovecot, make_account: Callable[..., Account], mail_user: str, monkeypatch: Any, tmp_path: Path
) -> None:
    account = make_account(mail_user)
    (tmp_path / "token").write_text(dovecot.token(mail_user) + "\n")
    monkeypatch.setenv("PRX_EMAIL_IMAP_OAUTH_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("PRX_EMAIL_IMAP_OAUTH_EXPIRES_AT", "1900000000")
    call_command("reload_auth", mail_user, stdout=StringIO())
    now = Account.objects.with_transports().get()
    assert now.imap.oauth_expires_at == datetime.fromtimestamp(1_900_000_000, UTC)
    assert (now.imap.password, now.smtp.password) == (None, MAILBOX_PASSWORD)
    assert opens(account)
    monkeypatch.setenv("PRX_EMAIL_SMTP_OAUTH_TOKEN", "the-token-for-smtp")
    monkeypatch.setenv("PRX_EMAIL_SMTP_OAUTH_EXPIRES_AT", "1900000001")
    call_command("reload_auth", mail_user, stdout=StringIO())
    now = Account.objects.with_transports().get()
    assert (now.smtp.password, now.smtp.oauth_token) == (None, "the-token-for-smtp")
    assert now.smtp.oauth_expires_at == datetime.fromtimestamp(1_900_000_001, UTC)


def test_a_vaults_secret_takes_the_place_of_a_grant(granted: Callable[..., Account], monkeypatch: Any) -> None:
    account = granted()
    monkeypatch.setenv("MY_SECRET", MAILBOX_PASSWORD)
    call_command("set_secret", account.email, transport="both", password_env="MY_SECRET", stdout=StringIO())
    now = Account.objects.with_transports().get()
    assert (now.imap.password, now.imap.grant, now.smtp.grant) == (MAILBOX_PASSWORD, None, None)
    assert not OAuthGrant.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody@example.test", "--transport", "imap", "--password-env", "MY_SECRET"], "No account has"),
        (["ann@example.test", "--transport", "imap", "--password-env", "NOT_SET"], "is not set or empty"),
        (
            ["ann@example.test", "--transport", "imap", "--password-env", "MY_SECRET", "--expires-at", "9"],
            "Only a token",
        ),
        (["ann@example.test", "--transport", "imap", "--oauth-token-env", "MY_SECRET", "--expires-at", "x"], "Unix"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    make_account: Callable[..., Account], monkeypatch: Any, arguments: list[str], said: str
) -> None:
    make_account("ann@example.test", imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    monkeypatch.setenv("MY_SECRET", "s3cret")
    words = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("set_secret", *arguments, stderr=words)
    assert ended.value.code == 1 and said in words.getvalue()
    assert Account.objects.get().imap.password == MAILBOX_PASSWORD


class Vault:
    """A refresh provider of one's own."""

    asked: list[tuple[str, str]] = []

    def refresh(self, email: str, user: str) -> Tokens:
        self.asked.append((email, user))
        return Tokens("from the vault", expires_in=3600)


class Strange:
    """One that gives what it should not."""

    gives: Any = None

    def refresh(self, email: str, user: str) -> Any:
        return self.gives


@pytest.mark.parametrize("given", [None, "a token", Tokens(""), Tokens("two\r\nlines"), Tokens(None)])  # type: ignore[arg-type]
def test_a_refresh_provider_of_ones_own_that_gives_no_token_is_asked_later(
    make_account: Callable[..., Account], settings: Any, monkeypatch: Any, given: Any
) -> None:
    settings.OAUTH_REFRESH_PROVIDER = f"{__name__}.Strange"
    Strange.gives = given
    account = make_account("ann@example.test", imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    monkeypatch.setenv("MY_TOKEN", "first")
    ended = ["--oauth-token-env", "MY_TOKEN", "--expires-at", "1700000000"]
    call_command("set_secret", account.email, "--transport", "both", *ended, stdout=StringIO())
    with pytest.raises(NetworkError, match="PRX_EMAIL_OAUTH_REFRESH_PROVIDER"):
        refresh.ensure_fresh(Account.objects.with_transports().get(), "imap")
    grant = OAuthGrant.objects.get()
    assert (grant.failure, grant.failure_count, grant.lease_token) == ("", 1, "")
    Strange.gives = Tokens("good", expires_in="-1")  # type: ignore[arg-type]
    refresh.ensure_fresh(Account.objects.with_transports().get(), "imap", lambda: timezone.now() + timedelta(minutes=1))
    assert OAuthGrant.objects.get().access_token == "good"


def test_a_provider_that_is_away_while_the_person_types_is_asked_again(
    app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    make_account(mail_user)
    code, waits = device.ask_for_code(app), []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            Person(mail_user).enter_code(code.verification_uri, code.user_code)

    oidc.control(fail={"count": 2, "status": 503})
    assert device.wait_for_tokens(app, code, sleep).access_token
    assert waits == [5, 10, 20]


def test_a_refresh_provider_of_ones_own_renews_what_ends(
    make_account: Callable[..., Account], settings: Any, monkeypatch: Any
) -> None:
    settings.OAUTH_REFRESH_PROVIDER = f"{__name__}.Vault"
    account = make_account("ann@example.test", imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    monkeypatch.setenv("MY_TOKEN", "first")
    ended = ["--oauth-token-env", "MY_TOKEN", "--expires-at", "1700000000"]
    call_command("set_secret", account.email, "--transport", "both", *ended, stdout=StringIO())
    account = Account.objects.with_transports().get()
    assert account.smtp_endpoint().oauth_token == "first"
    refresh.ensure_fresh(account, "smtp")
    assert account.smtp_endpoint().oauth_token == "from the vault"
    assert Vault.asked == [("ann@example.test", "ann@example.test")]
