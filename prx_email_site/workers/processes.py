"""Reads the state of processes from Linux's /proc. On other systems no process is found."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process. `state` is as in proc(5): R, S, D, T (stopped by a signal), t (stopped by a debugger), Z (zombie)."""

    pid: int
    state: str
    parent: int


def read(pid: int) -> Process | None:
    """The process with this pid, or None."""
    try:
        # The name, in brackets, may contain any character; after the last bracket come state and parent.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Process(pid, fields[0], int(fields[1]))


def is_running(pid: int) -> bool:
    """Whether the process exists and is neither stopped nor ended. True on systems without /proc."""
    if not Path("/proc/self/stat").exists():
        return True
    process = read(pid)
    return process is not None and process.state not in "TZX"


def below(pid: int) -> list[Process]:
    """All descendants of the process `pid`, parents before their children."""
    try:
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []
    children: dict[int, list[Process]] = {}
    for process in filter(None, map(read, numbers)):
        children.setdefault(process.parent, []).append(process)
    found = list(children.get(pid, ()))
    for process in found:  # the list grows while it is iterated
        found += children.get(process.pid, ())
    return found


def kill(pids: list[int]) -> None:
    """Send SIGKILL, which also ends stopped processes and those that ignore other signals."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def reap(pids: Iterable[int]) -> None:
    """Reap those of the processes that are ended children of ours (waitpid)."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
