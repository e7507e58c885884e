"""Processes of this project that tests start against the test database."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def database_url() -> str:
    """The test database as DATABASE_URL for a process of its own."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    return f"postgres://{quote(settings['USER'])}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database_url(), **more}


class Cluster:
    """`manage.py qcluster` in a session of its own; `stop()` drains, `kill()` is as a power cut."""

    def __init__(
        self, log: Path, *, command: Sequence[str] = ("manage.py", "qcluster"), cwd: Path = ROOT, **more: str
    ) -> None:
        self.log_path = log
        goes_with_us = [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid())]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*goes_with_us, sys.executable, *command],
                cwd=cwd,
                env=environment(**{"PRX_EMAIL_WORKERS": "2", **more}),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def pids(self) -> list[int]:
        """The processes of the cluster's session: the cluster, its sentinel, its workers."""
        return [pid for pid in _all_pids() if _session(pid) == self.process.pid]

    def stop(self, seconds: float = 30) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session(pid: int) -> int | None:
    try:
        # The name, in brackets, may hold anything: what follows the last bracket is state, ppid, pgrp, session.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
    except OSError:
        return None


def children_of(pid: int) -> list[int]:
    """Every process below `pid`, parents before their children."""
    parents: dict[int, int] = {}
    for each in sorted(_all_pids()):
        if parent := _parent(each):
            parents[each] = parent
    found, fresh = [], [pid]
    while fresh:
        fresh = [each for each, parent in parents.items() if parent in fresh]
        found += fresh
    return found


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
