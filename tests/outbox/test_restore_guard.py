"""After a restore or a clone all sending waits for a person, and an ordinary restart changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from mailbox.models import Account, WorkerHeartbeat
from outbox import api, restore_guard
from outbox.delivery import deliver
from outbox.models import Installation, OutboxMessage, SendingSwitch
from outbox.restore_guard import CLONED, FURTHER, RESTORED, InstallationFile, suspicion
from outbox.tasks import delivery as delivery_tasks
from tests.rows import outbox_row
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Iterator[Path]:
    settings.DATA_DIR = tmp_path
    yield tmp_path


def reason() -> str:
    switch = SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).first()
    return switch.reason if switch else ""


@pytest.mark.parametrize(
    ("database", "in_folder", "expected"),
    [
        (None, None, ""),
        (None, InstallationFile("other", 9, "here"), ""),  # a new database in an old folder has nothing to send twice
        (("a", 5), InstallationFile("a", 5, "here"), ""),
        (("a", 6), InstallationFile("a", 5, "here"), ""),  # a crash between the two writes
        (("a", 5), InstallationFile("a", 6, "here"), RESTORED),
        (("a", 5), None, CLONED),
        (("a", 5), InstallationFile("b", 5, "here"), CLONED),
        (("a", 5), InstallationFile("a", 5, "elsewhere"), CLONED),
    ],
)
def test_a_database_behind_its_folder_or_without_its_mark_is_suspicious(
    database: Any, in_folder: Any, expected: str
) -> None:
    assert suspicion(database, in_folder, "here", is_new=database is None) == expected


def test_a_place_that_the_database_does_not_know_is_suspicious() -> None:
    assert suspicion(None, InstallationFile("a", 5, "here"), "here", is_new=False) == CLONED


def test_two_hosts_that_share_a_data_folder_ask_once_and_then_send(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(place: str) -> str:
        monkeypatch.setattr(restore_guard, "this_location", lambda: place * 64)
        found = restore_guard.check(NOW)
        restore_guard.look(NOW)
        return found

    assert [look(place) for place in "abab"] == ["", CLONED, "", ""]
    SendingSwitch.objects.update(paused_at=None, reason="")  # a person resumes
    assert [look(place) for place in "abbaab"] == [""] * 6
    assert reason() == ""


def test_a_restored_database_is_noticed_once_by_the_host_that_looks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(place: str) -> str:
        monkeypatch.setattr(restore_guard, "this_location", lambda: place * 64)
        return restore_guard.check(NOW)

    for place in "ab":
        look(place)
    backup = list(Installation.objects.all())
    for place in "ab":
        look(place)
    for row in backup:
        row.save()  # the restore
    assert [look(place) for place in "babab"] == [RESTORED, "", "", "", ""]
    for row in backup:
        row.save()  # another one, noticed by the other host
    assert [look(place) for place in "aba"] == [RESTORED, "", ""]


def test_a_first_start_and_restarts_leave_sending_on() -> None:
    assert [restore_guard.check(NOW) for _ in range(3)] == ["", "", ""]
    assert reason() == ""


def test_a_database_from_a_backup_starts_with_sending_paused_until_a_person_resumes() -> None:
    restore_guard.check(NOW)
    backup = Installation.objects.get()
    for _ in range(3):
        delivery_tasks.sweep()
    backup.save()  # the restore
    delivery_tasks.sweep()
    assert reason() == RESTORED
    assert deliver.accounts_with_due_rows(NOW) == []
    SendingSwitch.objects.update(paused_at=None, reason="")  # a person resumes
    assert restore_guard.check(NOW) == ""
    assert reason() == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "act", [lambda pk: delivery_tasks.deliver(), api.retry_outbox], ids=["a worker", "manage.py retry"]
)
def test_a_database_restored_between_two_sweeps_sends_nothing(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], act: Callable[[int], object]
) -> None:
    server = smtp_server("tls")
    assert api.queue(account_on(server).pk, "bob@example.test", "Hello", "A text.").ok
    delivery_tasks.sweep()
    backup, row = Installation.objects.get(), OutboxMessage.objects.values().get()
    for _ in range(2):
        delivery_tasks.sweep()
    assert delivery_tasks.deliver()["sent"] == 1
    backup.save()  # the restore, with the mail as it was
    OutboxMessage.objects.filter(pk=row["id"]).update(**row)

    act(row["id"])

    assert (len(server.mails()), reason()) == (1, RESTORED)


def test_a_copy_of_the_database_beside_another_folder_does_not_send(settings: Any, tmp_path: Path) -> None:
    restore_guard.check(NOW)
    settings.DATA_DIR = tmp_path / "staging"
    assert restore_guard.check(NOW) == CLONED
    assert reason() == CLONED


def test_a_copy_of_both_to_another_path_does_not_send(settings: Any, tmp_path: Path) -> None:
    restore_guard.check(NOW)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("installation-*"):
        (copy / file.name).write_bytes(file.read_bytes())
    settings.DATA_DIR = copy
    assert restore_guard.check(NOW) == CLONED


def test_a_damaged_mark_is_no_crash_but_a_question(folder: Path) -> None:
    restore_guard.check(NOW)
    restore_guard.file_of(restore_guard.this_location()).write_text("{")
    assert restore_guard.check(NOW) == CLONED


@pytest.mark.django_db(transaction=True)
def test_processes_that_look_at_the_same_moment_are_no_restore_and_no_clone() -> None:
    """The very first start among them: several find nothing, and one of them is the first to write."""
    barrier, said = threading.Barrier(4), list[str]()

    def look() -> None:
        barrier.wait()
        said.extend(restore_guard.check(NOW) for _ in range(25))
        connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert said == [""] * 100 and reason() == ""
    assert Installation.objects.get().generation == 100


@pytest.mark.parametrize(("seconds_ago", "expected"), [(30, FURTHER), (600, CLONED)])
def test_a_new_folder_beside_workers_of_another_host_is_a_further_host_and_no_mail_becomes_a_question(
    account: Account, seconds_ago: int, expected: str
) -> None:
    restore_guard.check(NOW)
    row = outbox_row(account)
    seen_at = NOW - timedelta(seconds=seconds_ago)
    WorkerHeartbeat.objects.create(host="another", cluster_pid=7, started_at=seen_at, seen_at=seen_at)
    Installation.objects.update(mark="another")
    assert restore_guard.check(NOW) == expected
    row.refresh_from_db()
    assert row.hold == ("" if expected == FURTHER else "uncertain")
    assert reason() == expected


def test_a_pause_that_a_person_made_keeps_its_reason() -> None:
    SendingSwitch.objects.create(pk=1, paused_at=NOW, reason="maintenance")
    restore_guard.check(NOW)
    Installation.objects.update(mark="another")
    restore_guard.check(NOW)
    assert reason() == "maintenance"
