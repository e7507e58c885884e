"""The memory of a process with its children while it works: a sample each tenth of a second (Linux)."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.servers.site import children_of

EVERY_SECONDS = 0.1


@dataclass
class Memory:
    """MB. `series`: the workers' summed proportional set size; `peaks`: each process's own VmHWM, by pid."""

    series: list[float]
    peaks: dict[int, float]


class Watch:
    """Watches the tree below a process until stop()."""

    def __init__(self, pid: int) -> None:
        self._pid, self._stop = pid, threading.Event()
        self.trees: dict[int, list[float]] = {}  # by worker: its own memory and its children's
        self.peaks: dict[int, float] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> Memory:
        """What the largest tree had."""
        self._stop.set()
        self._thread.join()
        largest = max(self.trees, key=lambda pid: max(self.trees[pid]))
        return Memory(self.trees[largest], self.peaks)

    def _look(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            for worker in self._workers():
                tree = [worker, *children_of(worker)]
                self.trees.setdefault(worker, []).append(sum(megabytes(pid, "smaps_rollup", "Pss") for pid in tree))
                for pid in tree:
                    self.peaks[pid] = max(megabytes(pid, "status", "VmHWM"), self.peaks.get(pid, 0))

    def _workers(self) -> list[int]:
        """What django-q2's sentinel has started: the cluster's grandchildren."""
        below = children_of(self._pid)
        sentinels = [pid for pid in below if _parent(pid) == self._pid]
        return [pid for pid in below if _parent(pid) in sentinels]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def megabytes(pid: int, file: str, name: str) -> float:
    """A number of /proc/PID/FILE; 0 of a process that has ended."""
    try:
        match = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    except OSError:
        return 0.0  # it ended just now
    return int(match[1]) / 1024 if match else 0.0
