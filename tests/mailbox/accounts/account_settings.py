"""Settings of an account as a browser sends them, and the administrator who does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailbox.models import Account
from tests.rows import NOWHERE

TYPED = {
    "email": "ann@example.com",
    "display_name": "Ann",
    "sync_enabled": "on",
    "send_enabled": "on",
    "push_enabled": "on",
    "imap_host": "imap.example.com",
    "imap_port": "993",
    "imap_user": "ann@example.com",
    "imap_password": "imap-sesame",
    "smtp_host": "smtp.example.com",
    "smtp_port": "587",
    "smtp_same": "on",
}


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE, imap_password="old imap", smtp_password="old smtp")


def settings_of(account: Account, **changes: str) -> dict[str, str]:
    """What the browser sends of an edit form nobody changed, with changes."""
    typed = {
        "email": account.email,
        "display_name": account.display_name,
        "sync_enabled": "on",
        "send_enabled": "on",
        "push_enabled": "on",
        "ca_certificate": account.ca_certificate,
    }
    for kind, transport in (("imap", account.imap), ("smtp", account.smtp)):
        typed |= {f"{kind}_host": transport.host, f"{kind}_port": str(transport.port), f"{kind}_user": transport.user}
    return typed | {"smtp_security": account.smtp.security} | changes
