"""The event loop of a delivery worker: one task for each account, on a thread that ends with the last task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from django.db import connections

from outbox.delivery.database import Database, complete, wait_briefly_for_locks

Begin: TypeAlias = Callable[[Database], Coroutine[Any, Any, None]]


class TaskLoop:
    """Runs tasks on a thread that is no daemon, so that a process that ends waits for the replies to its mails."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._begun: list[Begin] = []  # handed in, and not yet a task
        self._wake: Callable[[], object] | None = None  # None while no thread runs

    def begin(self, task: Begin) -> None:
        """Start a task. Its exceptions are dropped, so it must handle them itself."""
        with self._lock:
            self._begun.append(task)
            if self._wake is not None:
                self._wake()
                return
            self._wake = lambda: None  # the thread looks by itself once its loop runs
            threading.Thread(target=self._run, name=self._name).start()

    def _run(self) -> None:
        try:
            wait_briefly_for_locks()
            complete(self._serve(Database()))
        except BaseException:
            with self._lock:
                self._wake = None
            raise
        finally:
            connections.close_all()

    async def _serve(self, database: Database) -> None:
        loop, changed, tasks = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.Task[None]]()
        self._wake = partial(loop.call_soon_threadsafe, changed.set)
        while True:
            changed.clear()
            for begin in self._take(tasks):
                task = loop.create_task(begin(database))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda _task: changed.set())
            if not tasks:
                return
            database.writers = len(tasks)
            await changed.wait()

    def _take(self, tasks: set[asyncio.Task[None]]) -> list[Begin]:
        with self._lock:
            begun, self._begun = self._begun, []
            if not (begun or tasks):
                self._wake = None
            return begun
