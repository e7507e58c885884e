"""`make run` as a process of its own, for the tests that start it: a data folder, a free port, what it says."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.ports import free_ports, wait_until
from tests.servers.site import ROOT, children_of

SLOW = 300.0  # seconds; a fresh installation took 90 beside other work


@dataclass
class Run:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        wait_until(lambda: "Ready: " in self.output() or self.process.poll() is not None, seconds=SLOW, what="the site")
        assert self.process.poll() is None, self.output()

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def descendants(self) -> list[int]:
        return children_of(self.process.pid)

    def workers(self) -> list[int]:
        """The cluster's processes, the cluster first."""
        return [pid for pid in self.descendants() if "qcluster" in command_line(pid)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def clean_environment() -> dict[str, str]:
    """One that holds nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRX_EMAIL_")}
    for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE"):
        kept.pop(name, None)
    return kept


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start the launcher on `tmp_path/data`, SQLite; with a copy of `data` there if that is given."""
    runs: list[Run] = []

    def start(data: Path | None = None, **variables: str) -> Run:
        if data is not None:
            shutil.copytree(data, tmp_path / "data")
        clean, port = clean_environment(), free_ports(1)[0]
        ours = {"PRX_EMAIL_DATA_DIR": str(tmp_path / "data"), "PRX_EMAIL_BIND": f"127.0.0.1:{port}"}
        log = tmp_path / f"run-{len(runs)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "prx_email_site.launch"],
                cwd=ROOT,
                env={**clean, **ours, "PRX_EMAIL_WORKERS": "1", **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        runs.append(Run(process, port, log))
        return runs[-1]

    yield start
    for run in runs:
        left = run.descendants()
        run.process.kill()
        run.process.wait()
        for pid in left:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def modes(folder: Path) -> dict[str, str]:
    """What in the folder is not as it must be."""
    paths = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    wanted = {True: 0o700, False: 0o600}
    wrong = [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o777 != wanted[path.is_dir()]]
    return {str(path.relative_to(folder)): oct(path.stat().st_mode) for path in wrong}


@pytest.fixture
def careless_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)
