"""manage.py alerts --every: the watch outside the workers."""

from __future__ import annotations

import signal
from types import FrameType

import pytest
from django.core.management import call_command
from django.db import OperationalError

from alerts.management.commands import alerts


def test_the_watch_outlasts_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    handlers: dict[int, object] = {}

    def look() -> None:
        looks.append("looked")
        if len(looks) == 1:
            raise OperationalError("the database system is shutting down")
        stop = handlers[signal.SIGTERM]
        assert callable(stop)
        frame: FrameType | None = None
        stop(signal.SIGTERM, frame)

    monkeypatch.setattr(alerts, "look", look)
    monkeypatch.setattr(alerts.signal, "signal", lambda number, handler: handlers.__setitem__(number, handler))
    monkeypatch.setattr(alerts.threading.Event, "wait", lambda self, seconds=None: self.is_set())

    call_command("alerts", every=1)

    assert looks == ["looked", "looked"]
