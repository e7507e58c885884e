"""The newest release's code in a folder, and commands of it and of this code on a database of the test's own."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from tests import upgrade
from tests.servers.site import environment


def unpacked(folder: Path) -> Path:
    """Skips where this checkout has not the release's commit."""
    packed = subprocess.run(["git", "archive", upgrade.newest().commit], cwd=upgrade.ROOT, capture_output=True)
    if packed.returncode:
        pytest.skip(f"this checkout has not the release's commit: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder / "released", filter="data")
    return folder / "released"


def run(code: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """manage.py of this code, to its end."""
    given: Mapping[str, str] = environment(**more)
    return subprocess.run([sys.executable, "manage.py", *command], cwd=code, env=given, capture_output=True, text=True)


def manage(code: Path, *command: str, **more: str) -> str:
    done = run(code, *command, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout
