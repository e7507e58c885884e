"""SQLite's planner knows no statistics: what somebody's ANALYZE left is gone after the daily cleaning."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from mailbox.db import sqlite_statistics
from mailbox.models import Account, Attachment
from mailbox.tasks import sync as sync_tasks
from tests.rows import NOWHERE, letter_with, store

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps statistics by itself"),
]


@pytest.fixture
def analyzed(make_account: Callable[..., Account]) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    for number in range(30):
        store(account, letter_with(b"%PDF", f"{number}.pdf"))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def known() -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute("SELECT COUNT(*) FROM sqlite_stat1").fetchone()[0])


def plan() -> list[str]:
    listed = Attachment.objects.filter(removed_at=None, message__gone_at=None).select_related("message__account")
    sql, parameters = listed.order_by("-received_at", "-pk")[:51].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return [str(row[-1]) for row in cursor.fetchall()]


def test_the_daily_cleaning_forgets_them(analyzed: None) -> None:
    assert known()
    sync_tasks.prune()
    assert not known()
    assert plan()[0] == "SCAN attachments USING INDEX attachment_newest"
    assert not any("TEMP B-TREE" in line for line in plan())


def test_where_there_are_none_nothing_is_written(analyzed: None) -> None:
    sqlite_statistics.forget_statistics()
    assert sqlite_statistics.forget_statistics() == 0
