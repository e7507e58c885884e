"""A backup made at an upgrade, of the release before: what this code restores it migrates."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.servers.site import ROOT, database_url
from tests.upgrade.released import manage, unpacked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
ACCOUNT = "add_account ops@example.com --imap-host localhost --imap-port 1 --smtp-host localhost --smtp-port 1"
WRITES = """
from mailbox.models import Account
from outbox import api
assert api.queue(Account.objects.get().pk, "bob@example.test", "Hello", "A text.").ok
"""


def database(folder: Path, name: str) -> str:
    """The address of an empty database."""
    if connection.vendor == "sqlite":
        return f"sqlite:///{folder / name}.sqlite3"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return urlsplit(database_url())._replace(path=f"/{name}").geturl()


def test_a_backup_of_its_database_by_this_code_is_restored_and_migrated(tmp_path: Path) -> None:
    released = unpacked(tmp_path)
    old = {"DATABASE_URL": database(tmp_path, "of_the_release"), "PRX_EMAIL_DATA_DIR": str(tmp_path / "old")}
    new = {"DATABASE_URL": database(tmp_path, "restored"), "PRX_EMAIL_DATA_DIR": str(tmp_path / "new")}
    manage(released, "migrate", "-v", "0", **old)
    manage(released, *ACCOUNT.split(), "--password-env", "PASSWORD", PASSWORD="x", **old)
    manage(released, "shell", "-v", "0", "-c", WRITES, **old)
    made = json.loads(manage(ROOT, "backup", str(tmp_path / "backups"), "--json", **old))
    assert made["ok"] and made["segments"] == 1
    assert json.loads(manage(ROOT, "restore", str(tmp_path / "backups"), "--json", **new))["ok"]
    (row,) = json.loads(manage(ROOT, "outbox", "--json", **new))["data"]["rows"]
    assert (row["status"], row["hold"], row["subject"]) == ("failed", "uncertain", "Hello")
    assert "[ ]" not in manage(ROOT, "showmigrations", **new)
