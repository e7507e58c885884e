"""django-q2's queue is looked at often, and each look is cheap."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from django_q.brokers import get_broker

from prx_email_site import broker
from prx_email_site.broker import Broker

pytestmark = pytest.mark.django_db(transaction=True)
ONLY_SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="Django keeps PostgreSQL's")


def test_it_is_what_django_q2_takes() -> None:
    assert isinstance(get_broker(), Broker)


def test_what_is_queued_is_taken_once(no_sleep: None) -> None:
    ours = get_broker()
    ours.enqueue("a task")
    assert [payload for _, payload in ours.dequeue()] == ["a task"]
    assert not ours.dequeue()  # it is locked until its time-out


@ONLY_SQLITE
def test_looks_within_a_second_share_a_connection(opened: list[object], no_sleep: None) -> None:
    ours = get_broker()
    ours.dequeue()
    opened.clear()
    for _ in range(5):
        ours.dequeue()
    assert not opened


@ONLY_SQLITE
def test_after_a_second_the_file_is_opened_anew(
    opened: list[object], no_sleep: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another one: a backup that was restored."""
    ours = get_broker()
    ours.dequeue()
    opened.clear()
    later = time.monotonic() + broker.KEEP_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    ours.dequeue()
    assert len(opened) == 1


def test_a_connection_that_was_lost_is_not_kept(no_sleep: None) -> None:
    """On PostgreSQL: the server ended it between two looks."""
    ours = get_broker()
    ours.dequeue()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        other = connection.copy()
        try:
            with other.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        finally:
            other.close()
    else:
        connection.close()
    assert not ours.dequeue()


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that finds nothing does not wait."""
    monkeypatch.setattr("django_q.brokers.orm.sleep", lambda seconds: None)


@pytest.fixture
def opened() -> Iterator[list[object]]:
    """Each connection to the database that is opened."""
    connections: list[object] = []

    def note(**signal: object) -> None:
        connections.append(signal["connection"])

    connection_created.connect(note)
    yield connections
    connection_created.disconnect(note)
