"""Mail that is backed up, and the backup of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailbox.models import Account
from tests.backup.made import made_in
from tests.rows import NOWHERE, letter, outbox_row, store
from tests.servers.site import database_url


@pytest.fixture
def account(make_account: Callable[..., Account], settings: Any, tmp_path: Path) -> Account:
    """Mail received and mail to send, in a data folder of the test's own."""
    settings.DATA_DIR = tmp_path / "data"
    (settings.DATA_DIR / "locale").mkdir(parents=True)
    (settings.DATA_DIR / "locale" / "de.po").write_text("words of our own")
    account = make_account("ops@example.com", **NOWHERE)
    store(account, letter("First"))
    store(account, letter("Second"))
    outbox_row(account, "Waits")
    return account


@pytest.fixture
def place(account: Account, tmp_path: Path) -> Path:
    return made_in(tmp_path / "backups")


@pytest.fixture
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scratch process reads its settings from the environment, as one of an operator does."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "prx_email_site.settings")
    monkeypatch.setenv("DATABASE_URL", database_url())
