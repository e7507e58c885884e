"""manage.py alerts --every: the watch outside the workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import OperationalError

from alerts.management.commands import alerts


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """What the command sets in this process is taken back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.django_db(transaction=True)
def test_the_watch_outlasts_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch, own_handlers: None) -> None:
    looks: list[str] = []

    def look() -> None:
        looks.append("looked")
        if len(looks) == 1:
            raise OperationalError("the database system is shutting down")
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(alerts, "look", look)

    call_command("alerts", every=1)

    assert looks == ["looked", "looked"]
