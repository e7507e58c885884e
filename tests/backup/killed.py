"""A process that is killed at the Nth thing it does to a disk or a database."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
STEPS = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "subprocess.Popen", "sqlite3.connect"}
)


class Steps:
    """Counts steps; kills this process before the one with the number `last`."""

    def __init__(self, last: int) -> None:
        self.last, self.count = last, 0

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS or (event == "open" and arguments[2] & WRITES):
            self.step()

    def around(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if not sql.startswith("SELECT"):
            self.step()
        return execute(sql, *rest)

    def step(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def run(act: Callable[[], object], last: int = 0) -> int:
    """Do this in a process of its own, which is killed before step `last`; 0: it is not.

    Returns the number of steps if it came to its end, else 0.
    """
    connection.close()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            connections.close_all()
            steps = Steps(last)
            sys.addaudithook(steps.hook)
            with connection.execute_wrapper(steps.around), contextlib.redirect_stdout(None):
                act()
            os.write(writing, str(steps.count).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as said:
        count = said.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in ((0,) if not last else (0, -signal.SIGKILL)), "it failed: see its words above"
    return int(count or 0)
