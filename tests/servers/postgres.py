"""A real PostgreSQL cluster in a temporary folder, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers.ports import ServerMissing, answers, free_ports, wait_until
from tests.servers.site import children_of

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
}


def newest_binaries() -> Path:
    """Debian keeps initdb and postgres out of PATH, a folder a major version."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    if found:
        return Path(found[-1]).parent
    if binary := shutil.which("postgres"):
        return Path(binary).resolve().parent
    raise ServerMissing("PostgreSQL is missing: apt-get install postgresql")


class Postgres:
    """`folder` is empty, or has the cluster that was made in it before; it is removed by whoever made it. The password
    is empty, the address is loopback.

    `is_durable` waits for the disk at each commit, as production does; tests need not.
    """

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        self.binaries = newest_binaries()
        self.folder, self.is_durable = folder, is_durable
        self.port = free_ports(1)[0]
        self.user = "postgres"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgres://{self.user}@127.0.0.1:{self.port}/postgres"

    def _as_owner(self, *command: str) -> list[str]:
        """PostgreSQL refuses to run as root; and it shuts down (SIGINT: without waiting) when we are killed."""
        if shutil.which("setpriv") is None:
            raise ServerMissing("setpriv is missing: apt-get install util-linux")
        owner = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", "--pdeathsig=INT", *owner, *command]

    def start(self) -> Postgres:
        if os.geteuid() == 0:
            try:
                pwd.getpwnam("postgres")
            except KeyError as error:
                raise ServerMissing("There is no user postgres: apt-get install postgresql") from error
            shutil.chown(self.folder, "postgres", "postgres")
        cluster = self.folder / "cluster"
        if not (cluster / "PG_VERSION").exists():
            self._make(cluster)
        chosen = SETTINGS if self.is_durable else SETTINGS | NOT_DURABLE
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.binaries / "postgres"), "-D", str(cluster), "-p", str(self.port), "-k", str(self.folder)]
        with (self.folder / "postgres.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._as_owner(*command, *options), stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        wait_until(lambda: answers(self.port), seconds=30, what="PostgreSQL")
        ready = [str(self.binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        wait_until(lambda: subprocess.run(ready).returncode == 0, seconds=30, what="PostgreSQL to be ready")
        return self

    def _make(self, cluster: Path) -> None:
        command = [str(self.binaries / "initdb"), "-D", str(cluster), "-U", self.user, "-A", "trust", "-N"]
        # The C locale sorts by bytes: what a test finds sorted does not depend on the machine's locale.
        made = subprocess.run(
            self._as_owner(*command, "--encoding=UTF8", "--locale=C"), capture_output=True, text=True, cwd="/"
        )
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stdout}{made.stderr}")

    def freeze(self) -> None:
        """Have it answer nothing, as behind a network that drops packets; connections are still taken by the kernel."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is not None:
            for pid in [self._process.pid, *children_of(self._process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def stop(self) -> None:
        """Fast shutdown: clients are disconnected (SIGINT, see pg_ctl -m fast)."""
        if self._process is None:
            return
        self._process.send_signal(2)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process = None
