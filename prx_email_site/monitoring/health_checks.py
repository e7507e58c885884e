"""Health checks for outside monitoring, without sign-in: a status and one word, nothing else about the installation.

Each answers within three seconds, whatever the database does: one thread queries it for all concurrent requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from mailbox.models import WorkerHeartbeat

ANSWER_SECONDS = 2.0


class Check:
    """A query that runs on a thread of its own (`ask`), with its own connection, shared by concurrent requests."""

    def __init__(self, ask: Callable[[], bool], name: str) -> None:
        self._ask, self._name = ask, name
        self._lock = threading.Lock()
        self._running: _Question | None = None

    def answer(self) -> bool | None:
        """The result of `ask`; None when the database failed, or did not answer within ANSWER_SECONDS."""
        with self._lock:
            if self._running is None or self._running.is_over():
                self._running = _Question(self._ask, self._name)
            question = self._running
        return question.wait()


class _Question:
    def __init__(self, ask: Callable[[], bool], name: str) -> None:
        self._ask, self._began = ask, time.monotonic()
        self._answer: bool | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except DatabaseError:
            self._answer = None
        finally:
            self._done.set()
            connection.close()

    def is_over(self) -> bool:
        return self._done.is_set()

    def wait(self) -> bool | None:
        left = self._began + ANSWER_SECONDS - time.monotonic()
        return self._answer if self._done.wait(max(left, 0)) else None


def _database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _workers_are_alive() -> bool:
    return WorkerHeartbeat.objects.alive(timezone.now()).exists()


_database = Check(_database_answers, "health-ready")
_workers = Check(_workers_are_alive, "health-workers")


def _answer(words: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{words}\n", status=status, content_type="text/plain")


@login_not_required
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Answer 200: this process is alive."""
    return _answer("ok")


@login_not_required
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when the database answers as well, else 503."""
    return _answer("ok") if _database.answer() else _answer("database unavailable", 503)


@login_not_required
@require_safe
def workers(request: HttpRequest) -> HttpResponse:
    """200 when a worker has sent a heartbeat within 90 s, else 503.

    Not part of `ready`, by which a proxy chooses web servers: without workers the pages must still be served, as they
    say so. Without workers no alert is mailed either, so outside monitoring should query this.
    """
    is_alive = _workers.answer()
    if is_alive is None:
        return _answer("database unavailable", 503)
    return _answer("ok") if is_alive else _answer("no worker", 503)
