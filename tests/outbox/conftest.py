"""Accounts on a scripted SMTP server, and short waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from mailbox.models import Account
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


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
def short_waits(settings: Settings) -> None:
    """A server that never answers costs a test a second, not ten minutes."""
    settings.CONNECT_TIMEOUT_SECONDS = 2
    settings.COMMAND_TIMEOUT_SECONDS = 1
    settings.FINAL_DOT_TIMEOUT_SECONDS = 1
