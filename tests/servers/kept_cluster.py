"""A cluster that is started again when it ends with a status other than 0, as `make run` and systemd do, and its
processes by what they do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from prx_email_site.workers import processes
from tests.servers.ports import wait_until
from tests.servers.site import Cluster

ROLES = ("parent", "sentinel", "idle", "busy", "monitor", "pusher")
READ, SLEEP = "0", "230"  # system calls of x86-64: reading a pipe; clock_nanosleep
WITHIN = 90.0


class KeptCluster:
    """`start` starts one more `manage.py qcluster`; `begin` waits until it has all its processes."""

    def __init__(self, start: Callable[[], Cluster], workers: int) -> None:
        self._start, self._workers = start, workers
        self.cluster = start()
        self.statuses: list[int] = []

    def begin(self) -> None:
        wait_until(self._is_complete, seconds=60, what="the cluster's processes")

    def _is_complete(self) -> bool:
        self.go_on()
        return len(self.children()) >= self._workers + 2 and self.idle_in_the_pipe() is not None

    def go_on(self) -> None:
        """Start it again when it has ended. Whatever ends it takes its children with it and has a status."""
        status = self.cluster.process.poll()
        if status is None:
            return
        self.statuses.append(status)
        assert status != 0, self.cluster.log()
        self.end(10)
        self.cluster = self._start()

    def end(self, seconds: float) -> int:
        """Its status when it ends within so many seconds, and all its processes with it: the kernel ends them a moment
        after their parent (PR_SET_PDEATHSIG)."""
        status = self.cluster.process.wait(seconds)
        wait_until(lambda: not self.cluster.pids(), seconds=10, what="the end of all its processes")
        return status

    def sentinel(self) -> int:
        (found,) = [pid for pid in self.cluster.pids() if _parent(pid) == self.cluster.pid]
        return found

    def children(self) -> list[int]:
        """The sentinel's, in the order in which they were started: workers, monitor, pusher."""
        sentinels = [pid for pid in self.cluster.pids() if _parent(pid) == self.cluster.pid]
        return sorted(pid for pid in self.cluster.pids() if _parent(pid) in sentinels)

    def idle_in_the_pipe(self) -> int | None:
        """The worker that reads the queue's pipe, and so holds its lock."""
        return next((pid for pid in self.children()[: self._workers] if _call(pid) == READ), None)

    def pid(self, role: str) -> int:
        found = {
            "parent": lambda: self.cluster.pid,
            "sentinel": self.sentinel,
            "idle": self.idle_in_the_pipe,
            "busy": lambda: next((pid for pid in self.children()[: self._workers] if _call(pid) == SLEEP), None),
            "monitor": lambda: self.children()[self._workers],
            "pusher": lambda: self.children()[self._workers + 1],
        }[role]
        pids: list[int] = []
        wait_until(lambda: pids.append(found() or 0) or pids[-1], seconds=30, what=f"the {role} process")
        return pids[-1]

    def signal_group(self, number: signal.Signals) -> None:
        os.killpg(self.cluster.pid, number)

    def wait_for_work(self, is_done: Callable[[], bool]) -> None:
        """Until it works, whether again or still; raises AssertionError after 90 s."""
        end = time.monotonic() + WITHIN
        while not is_done():
            self.go_on()
            assert time.monotonic() < end, self.cluster.log()
            time.sleep(0.1)


def _parent(pid: int) -> int | None:
    process = processes.read(pid)
    return process.parent if process and process.state != "Z" else None


def _call(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return ""
