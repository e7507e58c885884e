"""What the machine is that the figures were taken on, and keeping to two of its cores."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

CORES = 2
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
