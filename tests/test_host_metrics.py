"""/metrics of the hosts: processes, disks, bytes, the database; its alerts; and that a scrape stays cheap."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from mailbox import process_heartbeats
from mailbox.db import failures
from mailbox.logs import this_host
from mailbox.models import Account, DatabaseFailure, ProcessHeartbeat, SyncRun, SyncRunFolder, WorkerHeartbeat
from mailbox.storage.durable_files import store_folder
from mailbox.storage.usage import free_percent
from mailbox.tasks import sync
from tests.conftest import missing
from tests.rows import NOWHERE, attempt, folder_of, outbox_row
from tests.servers.site import ROOT
from tests.test_metrics import TOKEN, samples

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(make_account: Callable[..., Account], settings: Any) -> Account:
    settings.METRICS_TOKEN = TOKEN
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    failures._counts.clear()
    yield
    failures._counts.clear()


def process(host: str, role: str, pid: int, silent_in: int) -> None:
    now = timezone.now()
    times = {"started_at": now, "seen_at": now, "silent_at": now + timedelta(seconds=silent_in)}
    ProcessHeartbeat.objects.create(host=host, role=role, pid=pid, **times)


def test_live_processes_are_counted_by_host_and_role_and_silent_ones_are_none(client: Client, account: Account) -> None:
    for host, role, pid, silent_in in (
        ("a", "web", 1, 60),
        ("a", "web", 2, 60),
        ("a", "alerts", 3, -1),
        ("b", "alerts", 3, 60),
        ("b", "submission", 4, -1),
    ):
        process(host, role, pid, silent_in)
    found = samples(client)
    counted = {labels: value for (name, labels), value in found.items() if name == "prx_email_processes"}
    assert counted == {("a", "web"): 2, ("a", "alerts"): 0, ("alerts", "b"): 1, ("b", "submission"): 0}


def test_a_process_that_stops_in_order_is_not_missed(account: Account) -> None:
    process_heartbeats.note("alerts", timezone.now())
    process("another", "alerts", 1, 60)
    process_heartbeats.forget("alerts")
    assert [row.host for row in ProcessHeartbeat.objects.all()] == ["another"]


def test_bytes_of_the_last_hour_are_told(client: Client, account: Account) -> None:
    now = timezone.now()
    run = SyncRun.objects.create(started_at=now)
    for minutes, size in ((1, 100), (59, 20), (61, 3)):
        SyncRunFolder.objects.create(
            run=run, account=account, ok=True, bytes=size, finished_at=now - timedelta(minutes=minutes)
        )
    for outcome, size, hours in (("accepted", 4000, 0), ("partial", 500, 0), ("transient", 70, 0), ("accepted", 9, 2)):
        row = outbox_row(account, mime_size=size)
        attempt(row, started_at=now - timedelta(hours=hours), finished_at=now, outcome=outcome)
    found = samples(client)
    assert found[("prx_email_fetched_bytes", ())] == 120
    assert found[("prx_email_sent_bytes", ())] == 4500


def test_a_worker_tells_the_room_for_stored_mail_and_how_fast_the_database_is(client: Client, account: Account) -> None:
    sync.say_alive(timezone.now())
    folder, row = store_folder(), WorkerHeartbeat.objects.get()
    assert folder is not None and row.store_disk_free_percent is not None and row.database_seconds is not None
    assert abs(row.store_disk_free_percent - (free_percent(folder) or -99)) <= 1
    assert row.database_seconds > 0
    WorkerHeartbeat.objects.update(store_disk_free_percent=7, database_seconds=0.25, host="a")
    found = samples(client)
    assert found[("prx_email_store_disk_free_percent", ("a",))] == 7
    assert found[("prx_email_host_database_seconds", ("a",))] == 0.25


def test_a_store_that_is_no_folder_has_no_disk(account: Account, settings: Any) -> None:
    in_memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "raw": in_memory}
    sync.say_alive(timezone.now())
    assert WorkerHeartbeat.objects.get().store_disk_free_percent is None


class Refusing:
    """A connection object as Django's, for the wrapper that re-raises as Django's errors."""

    errors_occurred = False

    def __init__(self) -> None:
        self.Database = connection.Database


def fail(error: Exception) -> None:
    with failures.CountingErrorWrapper(Refusing()):
        raise error


def test_failures_are_counted_by_kind_by_all_connections_and_added_to_the_rows(
    client: Client, account: Account
) -> None:
    assert isinstance(connection.wrap_database_errors, failures.CountingErrorWrapper)
    theirs = connection.Database
    for error in (theirs.OperationalError("gone"), theirs.OperationalError("gone"), theirs.InterfaceError("closed")):
        with pytest.raises(Exception, match=r"gone|closed"):
            fail(error)
    with pytest.raises(ValueError, match="ours"):
        fail(ValueError("ours"))
    with pytest.raises(Exception, match="wrong"):
        fail(theirs.IntegrityError("wrong"))  # the statement's fault
    for number in (3, 6):
        failures.flush("a", timezone.now())
        assert list(DatabaseFailure.objects.values_list("host", "kind", "number")) == [("a", "unreachable", number)]
        for _ in range(3):
            failures.note("unreachable")
    assert samples(client)[("prx_email_database_failures_total", ("a", "unreachable"))] == 6


@pytest.mark.parametrize(
    ("state", "kind"),
    [("55P03", "waited"), ("57014", "waited"), ("40P01", "waited"), ("57P01", "unreachable"), ("53100", "refused")],
)
def test_kinds_by_what_postgresql_says(state: str, kind: str) -> None:
    cause = Exception()
    cause.sqlstate = state  # type: ignore[attr-defined]
    error = OperationalError()
    error.__cause__ = cause
    assert failures.kind_of(error) == kind


@pytest.mark.parametrize(("code", "kind"), [(5, "waited"), (261, "waited"), (13, "refused"), (8, "refused")])
def test_kinds_by_what_sqlite_says(code: int, kind: str) -> None:
    import sqlite3

    cause = sqlite3.OperationalError()
    cause.sqlite_errorcode = code
    error = OperationalError()
    error.__cause__ = cause
    assert failures.kind_of(error) == kind


def test_what_could_not_be_written_is_written_by_the_next_heartbeat(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures.note("waited")

    def away() -> None:
        raise OperationalError

    with monkeypatch.context() as patched, pytest.raises(OperationalError):
        patched.setattr(connection, "cursor", away)
        failures.flush("a", timezone.now())
    failures.note("waited")
    process_heartbeats.note("web", timezone.now())
    row = DatabaseFailure.objects.get()
    assert (row.host, row.kind, row.number) == (this_host(), "waited", 2)


def test_counts_of_hosts_that_are_no_more_end(account: Account) -> None:
    now = timezone.now()
    for host, days in (("old", 15), ("new", 13)):
        DatabaseFailure.objects.create(host=host, kind="waited", number=1, last_at=now - timedelta(days=days))
    sync._prune(now)
    assert [row.host for row in DatabaseFailure.objects.all()] == ["new"]


def test_a_scrape_asks_no_more_where_there_are_many_hosts_and_reads_a_bounded_number(
    client: Client, account: Account, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    for number in range(250):
        process(f"h{number}", "web", 1, 60)
    rows = [DatabaseFailure(host=f"h{number}", kind="waited", number=1, last_at=now) for number in range(250)]
    DatabaseFailure.objects.bulk_create(rows)
    run = SyncRun.objects.create(started_at=now)
    for _ in range(5):
        SyncRunFolder.objects.create(run=run, account=account, folder=folder_of(account), ok=True, bytes=1)
    with django_assert_max_num_queries(29):
        found = samples(client)
    assert sum(name == "prx_email_processes" for name, _ in found) == 200
    assert sum(name == "prx_email_database_failures_total" for name, _ in found) == 200


def test_the_alerts_of_hosts_fire_when_they_should(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        missing("promtool is missing: apt-get install prometheus")
    fine = 'prx_email_processes{host="a",role="%s"}'
    series = {
        fine % "web": "1x10",
        fine % "alerts": "1x2 0x8",
        'prx_email_processes{host="b",role="alerts"}': "1x10",
        fine % "submission": "1x2 0x8",
        'prx_email_database_failures_total{host="a",kind="waited"}': "0x3 20x7",
        'prx_email_database_failures_total{host="b",kind="waited"}': "0x3 1x7",
        'prx_email_store_disk_free_percent{host="a"}': "9x10",
        'prx_email_store_disk_free_percent{host="b"}': "10x10",
        'prx_email_host_database_seconds{host="a"}': "2x10",
    }
    expected = {
        "PrxEmailProcess": [{"role": "alerts", "host": "a"}, {"role": "submission", "host": "a"}],
        "PrxEmailNoProcess": [{"role": "submission"}],
        "PrxEmailDatabaseFails": [{"host": "a", "kind": "waited"}],
        "PrxEmailStoreDisk": [{"host": "a"}],
        "PrxEmailDatabaseSlow": [{"host": "a"}],
    }
    found = {rule["alert"]: rule for group in _groups() for rule in group["rules"]}
    cases = [
        {
            "eval_time": "10m",
            "alertname": name,
            "exp_alerts": [{"exp_labels": {**labels, **found[name]["labels"]}} for labels in all_labels],
        }
        for name, all_labels in expected.items()
    ]
    listed = [{"series": name, "values": values} for name, values in series.items()]
    given = {
        "rule_files": [str(_without_words(tmp_path))],
        "tests": [{"interval": "1m", "input_series": listed, "alert_rule_test": cases}],
    }
    (tmp_path / "test.yml").write_text(json.dumps(given))
    done = subprocess.run(["promtool", "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    return groups


def _without_words(folder: Path) -> Path:
    """The alerts without annotations, which promtool would compare as well."""
    groups = _groups()
    for group in groups:
        for rule in group["rules"]:
            del rule["annotations"]
    (folder / "alerts.yml").write_text(json.dumps({"groups": groups}))
    return folder / "alerts.yml"
