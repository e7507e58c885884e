"""Fixtures of what most tests begin with: accounts, and people who are signed in."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from mailbox.models import Account, Transport
from tests.rows import NOWHERE
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SmtpServer


@pytest.fixture
def make_account(db: None, request: pytest.FixtureRequest) -> Callable[..., Account]:
    """Make an account with both transports, validated and saved, by default on `dovecot` with its password.

    Overrides: fields of Account, and of the transports with a prefix: make_account(smtp_port=..., imap_password=None,
    imap_oauth_token=...). Dovecot is started only when a host or port is left to it.
    """

    def make(email: str | None = None, **overrides: Any) -> Account:
        email = email or f"u{secrets.token_hex(6)}@example.test"
        options: dict[str, Any] = {"security": "tls"}
        needed = {"imap_host", "imap_port", "smtp_host", "smtp_port"}
        given: dict[str, Any] = {}
        if not needed <= overrides.keys():
            server: Dovecot = request.getfixturevalue("dovecot")
            given = {
                "imap_host": server.host,
                "imap_port": server.imap_port,
                "smtp_host": server.host,
                "smtp_port": server.submission_port,
                "smtp_security": "starttls",
                "ca_certificate": server.ca_pem,
            }
        given |= {"imap_password": MAILBOX_PASSWORD, "smtp_password": MAILBOX_PASSWORD} | overrides
        transports = {}
        for kind in ("imap", "smtp"):
            own = {
                name.removeprefix(f"{kind}_"): given.pop(name) for name in list(given) if name.startswith(f"{kind}_")
            }
            transports[kind] = Transport(kind=kind, **{"user": email, **options, **own})
            transports[kind].full_clean(validate_unique=False, validate_constraints=False)
            transports[kind].save()
        account = Account(email=email, **transports, **given)
        account.full_clean(validate_unique=False, validate_constraints=False)  # the database holds both, sooner
        account.save()
        return account

    return make


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    """One whose servers are nowhere. Modules that need another have a fixture of this name of their own."""
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def account_on(make_account: Callable[..., Account]) -> Callable[..., Account]:
    """account_on(server, ...) -> an account whose SMTP transport is that server; its IMAP is nowhere."""

    def make(server: SmtpServer, **overrides: Any) -> Account:
        transport = {
            "smtp_host": "localhost",
            "smtp_port": server.port,
            "smtp_security": "starttls" if server.security == "starttls" else "tls",
            "ca_certificate": server.ca_pem,
            "imap_host": "localhost",
            "imap_port": 1,
        }
        return make_account(**(transport | overrides))

    return make


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """Make a person with a role for all accounts ("viewer", "operator", "administrator"), or with none ("")."""

    def make(role: str = "administrator", username: str | None = None, password: str = "sign-in-please") -> User:
        user = User.objects.create_user(username or f"{role or 'nobody'}-{secrets.token_hex(4)}", password=password)
        if role:
            user.groups.add(Group.objects.get(name=role))
        return user

    return make


@pytest.fixture
def viewer(client: Client, make_user: Callable[..., User]) -> Client:
    """A browser in which somebody with this role for all accounts is signed in."""
    client.force_login(make_user("viewer"))
    return client


@pytest.fixture
def operator(client: Client, make_user: Callable[..., User]) -> Client:
    """As `viewer`, with this role."""
    client.force_login(make_user("operator"))
    return client


@pytest.fixture
def administrator(client: Client, make_user: Callable[..., User]) -> Client:
    """As `viewer`, with this role."""
    client.force_login(make_user("administrator"))
    return client
