"""What the machine is that the figures were taken on, and keeping to two of its cores."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CORES = 2
CGROUPS = Path("/sys/fs/cgroup")
PERIOD_MICROSECONDS = 20_000
PROGRAMS = {
    "isync": ["mbsync", "--version"],
    "Dovecot": ["dovecot", "--version"],
    "Postfix (smtp-sink)": ["postconf", "-d", "-h", "mail_version"],
}
PACKAGES = ("django", "django-q2", "imapclient", "mail-parser")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def keep_to_two_cores() -> None:
    """Everything that this process starts from now on, servers and peers too, shares two cores (Linux)."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:CORES])


@contextmanager
def processor_share(cores: float, name: str) -> Iterator[list[str]]:
    """Yield the beginning of a command whose processes get so many cores together, as if on a smaller machine.

    By a control group of Linux, version 1 or 2. Raises RuntimeError where this process may not make one.
    """
    is_first_version = (CGROUPS / "cpu").is_dir()
    group = (CGROUPS / "cpu" if is_first_version else CGROUPS) / f"prx-bench-{os.getpid()}-{name}"
    try:
        group.mkdir()
    except OSError as error:
        raise RuntimeError(f"no share of the processor can be set: {error}") from error
    quota = int(cores * PERIOD_MICROSECONDS)
    if is_first_version:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {PERIOD_MICROSECONDS}")
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        while left := (group / "cgroup.procs").read_text().split():  # a group with processes cannot be removed
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        group.rmdir()


def facts() -> dict[str, str]:
    """Each a short text; what is not installed is left out."""
    found = {
        "processor": f"{len(os.sched_getaffinity(0))} cores used, {_processor()}",
        "memory": _memory(),
        "system": f"{_system()}, Linux {platform.release()}",
        "Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
    }
    found |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return found | {name: version for name, command in PROGRAMS.items() if (version := _says(command))}


def _says(command: list[str]) -> str:
    binary = shutil.which(command[0], path=PATH)
    if not binary:
        return ""
    answer = subprocess.run([binary, *command[1:]], capture_output=True, text=True)
    match = re.search(r"\d+(\.\d+)+", answer.stdout + answer.stderr)
    return match[0] if match else ""


def _processor() -> str:
    match = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return match[1] if match else platform.machine()


def _memory() -> str:
    match = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return f"{int(match[1]) / 1024**2:.0f} GB" if match else ""


def _system() -> str:
    match = re.search(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text())
    return match[1] if match else platform.system()
