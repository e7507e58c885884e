"""What `prepare` does beside another, and says of keys."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from pytest_django import Settings

from mailbox.models import Account
from prx_email_site.management.commands import qcluster
from prx_email_site.one_at_a_time import one_at_a_time
from tests.rows import NOWHERE
from tests.servers.ports import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "folders",
    [
        pytest.param(("one", "one"), id="one folder"),
        pytest.param(
            ("one", "other"),
            id="one database",
            marks=pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's database is in the folder."),
        ),
    ],
)
def test_a_second_prepare_waits_for_the_first(tmp_path: Path, folders: tuple[str, str]) -> None:
    first, second = (tmp_path / name for name in folders)
    for folder in {first, second}:
        folder.mkdir()
    said, order = list[str](), list[str]()

    def prepare() -> None:
        with one_at_a_time(second, said.append):
            order.append("second")

    with one_at_a_time(first, said.append):
        other = threading.Thread(target=prepare)
        other.start()
        wait_until(lambda: said, seconds=300, what="the second to say that it waits")
        order.append("first")
    other.join(30)
    assert order == ["first", "second"]
    assert said == [
        "Another prepare, backup or restore is at work on this database or data folder: waiting for its end."
    ]


def test_a_key_that_is_none_is_found_by_check_and_stops_prepare(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = [*settings.ENCRYPTION_KEYS, "secret-word"]
    for command, options in (("check", {}), ("prepare", {"skip_checks": False})):
        with pytest.raises((SystemCheckError, CommandError)) as refused:
            call_command(command, **options)
        assert "PRX_EMAIL_ENCRYPTION_KEYS: key 2 of 2 is no Fernet key" in str(refused.value)
        assert "secret-word" not in str(refused.value)


def test_a_key_that_is_none_stops_the_workers_whose_start_imports_no_page(settings: Settings) -> None:
    settings.ROOT_URLCONF = "no.such.module"
    settings.ENCRYPTION_KEYS = [*settings.ENCRYPTION_KEYS, "secret-word"]
    with pytest.raises(SystemCheckError, match="key 2 of 2 is no Fernet key"):
        qcluster.Command().check(tags=qcluster.Command.requires_system_checks)


def test_a_key_that_opens_nothing_is_found_with_the_number_of_secrets(
    make_account: Callable[..., Account], settings: Settings
) -> None:
    make_account(**NOWHERE)
    call_command("check", stderr=(before := StringIO()))
    assert "stored secrets" not in before.getvalue()
    former = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    for command in ("check", "prepare"):
        call_command(command, stdout=StringIO(), stderr=(said := StringIO()))
        assert "No key in PRX_EMAIL_ENCRYPTION_KEYS opens 2 of the 2 stored secrets." in said.getvalue()
    settings.ENCRYPTION_KEYS = [*settings.ENCRYPTION_KEYS, *former]
    call_command("check", stderr=(after := StringIO()))
    assert "stored secrets" not in after.getvalue()
