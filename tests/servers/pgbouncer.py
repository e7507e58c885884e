"""A real PgBouncer on a free port of 127.0.0.1 before the test database, by the file that docs/operations.md shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers.ports import ServerMissing, answers, free_ports, wait_until
from tests.servers.site import ROOT

PASSWORD = "of-the-pooler"
DOCUMENTED = re.compile(r"^```ini\n; /etc/pgbouncer/pgbouncer.ini\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented() -> str:
    found = DOCUMENTED.search((ROOT / "docs/operations.md").read_text())
    assert found
    return found[1]


class PgBouncer:
    """database: its HOST, PORT, NAME and USER. more: lines of [pgbouncer] that go before the document's."""

    def __init__(self, folder: Path, database: Mapping[str, str], **more: str) -> None:
        (self.port,) = free_ports(1)
        self.folder, self._database = folder, database
        self._more = {"listen_port": str(self.port), "unix_socket_dir": "", "ignore_startup_parameters": "", **more}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "prx-email") -> str:
        """By one of the names that the document gives the database."""
        return f"postgres://{self._database['USER']}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> PgBouncer:
        binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if binary is None:
            raise ServerMissing("PgBouncer is missing: apt-get install pgbouncer")
        self.folder.mkdir(mode=0o755, exist_ok=True)
        (self.folder / "userlist.txt").write_text(f'"{self._database["USER"]}" "{PASSWORD}"\n')
        (self.folder / "pgbouncer.ini").write_text(self._configuration())
        for path in self.folder.iterdir():
            path.chmod(0o644)  # it runs as another user
        owner = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        with (self.folder / "pgbouncer.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *owner, binary, str(self.folder / "pgbouncer.ini")],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: answers(self.port), seconds=30, what=f"PgBouncer: {self.log()}")
        return self

    def _configuration(self) -> str:
        """The document's, with the test's addresses in place of its own."""
        text = documented()
        for said, here in (
            ("host=DB", f"host={self._database['HOST']} port={self._database['PORT']}"),
            ("dbname=prx-email", f"dbname={self._database['NAME']}"),
            ("listen_addr = *", "listen_addr = 127.0.0.1"),
            ("/etc/pgbouncer/userlist.txt", str(self.folder / "userlist.txt")),
        ):
            assert said in text
            text = text.replace(said, here)
        for name, value in self._more.items():
            text = re.sub(rf"^{name} = .*\n", "", text, flags=re.MULTILINE) + f"{name} = {value}\n"
        return text

    def log(self) -> str:
        path = self.folder / "pgbouncer.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
