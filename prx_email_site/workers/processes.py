"""What Linux tells of processes (/proc). Elsewhere nothing is known, and no process is found."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """`state` as proc(5) has it: R, S, D, T (stopped by a signal), t (by a debugger), Z (ended)."""

    pid: int
    state: str
    parent: int


def read(pid: int) -> Process | None:
    """The process, or None when there is none."""
    try:
        # The name, in brackets, may hold anything: what follows the last bracket is state and parent.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Process(pid, fields[0], int(fields[1]))


def is_running(pid: int) -> bool:
    """Whether it is there and neither stopped nor ended. True where there is no /proc to say so."""
    if not Path("/proc/self/stat").exists():
        return True
    process = read(pid)
    return process is not None and process.state not in "TZX"


def below(pid: int) -> list[Process]:
    """Every process below `pid`, parents before their children."""
    try:
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []
    children: dict[int, list[Process]] = {}
    for process in filter(None, map(read, numbers)):
        children.setdefault(process.parent, []).append(process)
    found = list(children.get(pid, ()))
    for process in found:  # grows meanwhile
        found += children.get(process.pid, ())
    return found


def kill(pids: list[int]) -> None:
    """SIGKILL, also to what is stopped or ignores all else."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def reap(pids: Iterable[int]) -> None:
    """Let go of those that are our children and have ended."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
