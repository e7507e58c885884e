"""The sweep goes in slices that end in time, and begins only once two looks agree."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbox import deletions, resting_batches
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Account, AuditEntry, DeletionLook, LegalHold
from prx_email_site.retention import sweep
from prx_email_site.retention.kinds import KINDS, What
from tests.retention.rules import NOW, OLD, rule, subjects, swept
from tests.rows import letter, store

pytestmark = pytest.mark.django_db


def test_a_slice_ends_in_time_and_queues_the_next(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[str] = []
    monkeypatch.setattr(sweep, "queue", lambda function, *_args, **_: queued.append(function))
    monkeypatch.setattr(resting_batches, "MOST_ROWS", 2)
    for number in range(5):
        AuditEntry.objects.create(verb=f"v{number}", at=OLD)
    rule("activity")
    sweep.remove_slice(NOW.isoformat(), seconds=0)
    assert AuditEntry.objects.filter(verb__startswith="v").count() == 3
    assert queued == ["prx_email_site.retention.sweep.remove_slice"]
    assert AuditEntry.objects.get(verb="retention_removed").detail.endswith(": 2 removed")
    sweep.remove_slice(NOW.isoformat())
    assert not AuditEntry.objects.filter(verb__startswith="v").exists() and len(queued) == 1
    assert AuditEntry.objects.latest("pk").detail.endswith(": 3 removed")


def test_all_slices_go_by_the_time_that_two_looks_agreed_on(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[tuple[object, ...]] = []
    monkeypatch.setattr(sweep, "queue", lambda *arguments, **_: queued.append(arguments))
    monkeypatch.setattr(deletions, "two_looks_agree", lambda name, now: True)
    AuditEntry.objects.create(verb="retry", at=NOW - timedelta(days=100))
    rule("activity")
    sweep.begin()
    monkeypatch.setattr(timezone, "now", lambda: NOW + timedelta(days=3650))
    sweep.remove_slice(str(queued[0][1]))
    assert AuditEntry.objects.filter(verb="retry").exists()


def test_a_slice_walks_over_what_is_held_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "LOOKED_UP", 2)
    for number in range(9):  # of the same second, too
        names = "eve@example.com" if number % 2 else "bob@example.com"
        store(account, letter(f"Mail {number}", To=names), at=OLD + timedelta(days=number // 3))
    LegalHold.objects.create(address="eve@example.com", reason="Case 1")
    rule("received")
    with CaptureQueriesContext(connection) as asked:
        swept()
    assert subjects() == {f"Mail {number}" for number in (1, 3, 5, 7)}
    looks = [each["sql"] for each in asked if "LIKE" in each["sql"] and "LIMIT 2" in each["sql"]]
    assert len(looks) == 4 and all(">=" in each for each in looks[1:])


def test_nothing_begins_before_two_looks_agree(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[str] = []
    monkeypatch.setattr(sweep, "queue", lambda function, *_args, **_: queued.append(function))
    sweep.begin()
    assert queued == []
    monkeypatch.setattr(deletions, "two_looks_agree", lambda name, now: name == "retention")
    sweep.begin()
    assert len(queued) == 1


def test_a_slice_of_an_earlier_day_gives_way_to_a_later_days_run(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[str] = []
    monkeypatch.setattr(sweep, "queue", lambda function, *_args, **_: queued.append(function))
    AuditEntry.objects.create(verb="retry", at=OLD)
    rule("activity")
    look = DeletionLook.objects.create(name="retention", host_at=NOW + timedelta(days=1), database_at=NOW)
    sweep.remove_slice(NOW.isoformat())
    assert AuditEntry.objects.filter(verb="retry").exists() and queued == []
    DeletionLook.objects.filter(pk=look.pk).update(host_at=NOW)
    sweep.remove_slice(NOW.isoformat())
    assert not AuditEntry.objects.filter(verb="retry").exists()


@pytest.mark.parametrize("what", [What.RECEIVED, What.SENT, What.ACTIVITY, What.RUNS, What.INCIDENTS])
def test_a_look_up_goes_by_an_index_in_its_order(what: str) -> None:
    """Of the kinds that grow with the years. PostgreSQL chooses by its statistics, and here there are no rows."""
    kind = KINDS[what]
    rows = kind.rows(rule(what), LegalHolds(), NOW).order_by(*kind.order).values_list(*kind.order)[:2]
    if connection.vendor == "sqlite":
        plan = rows.explain()
        assert f"SEARCH {rows.model._meta.db_table} USING" in plan and "B-TREE FOR ORDER BY" not in plan
    assert list(rows) == []


def test_removals_go_on_in_transactions_with_rests_between_them(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[int] = []

    class Noted(resting_batches.RestingBatches):
        def __init__(self) -> None:
            super().__init__(sleep=lambda seconds: rests.append(len(connection.savepoint_ids)))

    monkeypatch.setattr(sweep, "RestingBatches", Noted)
    monkeypatch.setattr(resting_batches, "MOST_ROWS", 2)
    for number in range(5):
        AuditEntry.objects.create(verb=f"v{number}", at=OLD)
    rule("activity")
    swept()
    assert rests == [len(connection.savepoint_ids)] * 3
