"""Our side: installations of this project, each with a data folder of its own and the settings of production."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg

from benchmarks.frame import ROOT, Options
from benchmarks.machine import processor_share
from tests.servers.dovecot import Dovecot
from tests.servers.postgres import Postgres

GOES_WITH_US = [sys.executable, "-m", "prx_email_site.parent_death"]


class Sites:
    """Makes installations; the first is migrated, the others are copies of it. On PostgreSQL: of its database."""

    def __init__(self, folder: Path, server: str = "") -> None:
        self.folder, self.server = folder, server
        self._count = 0
        self._template: Site | None = None

    def make(self, **environment: str) -> Site:
        """A new installation, migrated; `environment` is set for all of its processes."""
        if self._template is None:
            self._template = self._next("")
            self._template.manage("migrate", "--verbosity=0")
        return self._next(self._template.database_name, **environment)

    def _next(self, copied: str, **environment: str) -> Site:
        folder = self.folder / f"site-{self._count}"
        name = f"bench_{self._count}"
        self._count += 1
        if self._template is None:
            folder.mkdir(parents=True, mode=0o700)
        else:
            shutil.copytree(self._template.folder, folder)
        if self.server:
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} {f'TEMPLATE {copied}' if copied else ''}".encode())
        url = f"{self.server.rpartition('/')[0]}/{name}" if self.server else ""
        return Site(folder, name, url, environment)


def open_sites(options: Options, folder: Path, stack: ExitStack) -> Sites:
    """On SQLite, or on a PostgreSQL of our own that waits for the disk."""
    if options.database == "sqlite":
        return Sites(folder)
    server_folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="prx-bench-pg-", ignore_cleanup_errors=True))
    postgres = Postgres(Path(server_folder), is_durable=True)
    stack.callback(postgres.stop)
    return Sites(folder, postgres.start().url)


class Site:
    """One installation. What is asked of its database is asked of a process inside it: see `inside()`."""

    def __init__(self, folder: Path, database_name: str, database_url: str, environment: dict[str, str]) -> None:
        self.folder, self.database_name, self._url, self._given = folder, database_name, database_url, environment
        outer = {name: value for name, value in os.environ.items() if not name.startswith("PRX_EMAIL_")}
        outer.pop("DATABASE_URL", None)
        self.environment = outer | {
            "DJANGO_SETTINGS_MODULE": "prx_email_site.settings",
            "PRX_EMAIL_DATA_DIR": str(folder),
            "PRX_EMAIL_LOG_LEVEL": "WARNING",
            **({"DATABASE_URL": database_url} if database_url else {}),
            **environment,
        }

    def other_host(self) -> Site:
        """With this one's keys and database (PostgreSQL), and so its queue, and a data folder of its own."""
        folder = self.folder.with_name(f"{self.folder.name}-other")
        shutil.copytree(self.folder, folder)
        return Site(folder, self.database_name, self._url, self._given)

    def manage(self, *arguments: str) -> float:
        """Seconds of a whole `manage.py ...`, the start of Python included; raises RuntimeError."""
        begin = time.monotonic()
        process = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        seconds = time.monotonic() - begin
        if process.returncode:
            raise RuntimeError(f"manage.py {' '.join(arguments)}: {process.stdout[-2000:]}{process.stderr[-4000:]}")
        return seconds

    @contextmanager
    def inside(self) -> Iterator[Inside]:
        """A process inside the installation, for the block."""
        process = Inside(self)
        try:
            yield process
        finally:
            process.stop()

    @contextmanager
    def workers(self, cores: float | None = None) -> Iterator[Service]:
        """A real cluster that takes tasks already; with so many cores together if that is given."""
        with ExitStack() as stack:
            share = [] if cores is None else stack.enter_context(processor_share(cores, self.folder.name))
            command = [*share, sys.executable, "manage.py", "qcluster"]
            service = stack.enter_context(self.service(command, "qcluster"))
            with self.inside() as inside:
                inside.call("wait_for_workers", pid=service.pid)
                yield service

    @contextmanager
    def service(self, command: list[str], name: str) -> Iterator[Service]:
        """A process of the installation that runs for the block; its output goes to NAME.log in its folder."""
        service = Service(command, self.environment, self.folder / f"{name}.log")
        try:
            yield service
        finally:
            service.stop()

    def remove(self) -> None:
        """Remove its data folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Inside:
    """A Django process of the installation that runs the functions of benchmarks.inside, one after another."""

    def __init__(self, site: Site) -> None:
        self._process = subprocess.Popen(
            [*GOES_WITH_US, str(os.getpid()), sys.executable, "-m", "benchmarks.inside"],
            cwd=ROOT,
            env=site.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, name: str, **arguments: Any) -> Any:
        """What the function returns, through JSON; raises RuntimeError with its traceback."""
        _pipe(self._process.stdin).write(json.dumps([name, arguments]) + "\n")
        _pipe(self._process.stdin).flush()
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"The process of {name} ended with status {self._process.wait()}.")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    @property
    def pid(self) -> int:
        """The pid of the process."""
        return self._process.pid

    def stop(self) -> None:
        """Close its input, by which it ends, and wait."""
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        self._process.wait()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class Service:
    """A process of ours in a session of its own, with its children. Nothing is under way when it is stopped."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log_path = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*GOES_WITH_US, str(os.getpid()), *command],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The pid of the process."""
        return self._process.pid

    def log(self) -> str:
        """The last 4,000 characters of its output."""
        return self.log_path.read_text(errors="replace")[-4000:]

    def stop(self, seconds: float = 3) -> None:
        """Ask it to stop; after `seconds`, kill it and all of its session."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def account_fields(server: Dovecot, email: str, imap_port: int | None = None) -> dict[str, Any]:
    """What inside's make_account takes for a mailbox on this server."""
    return {
        "email": email,
        "imap_port": imap_port or server.imap_port,
        "smtp_port": server.submission_port,
        "password": server.password,
        "ca_pem": server.ca_pem,
    }
