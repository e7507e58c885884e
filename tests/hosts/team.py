"""Two hosts and the machine with PostgreSQL and Redis, set up by the lines of docs/operations.md."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.hosts.document import block, without
from tests.hosts.host import Host, repository
from tests.servers import MAILBOX_PASSWORD
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.machines import machines
from tests.servers.ports import wait_until
from tests.servers.site import ROOT
from tests.servers.smtp import SmtpServer

ONE, TEAM = "A server with systemd, PostgreSQL and a proxy", "Two machines and more"
PASSWORD = "PASSWORD"
# Both hosts share this machine, and the workers of both are needed for all accounts.
OF_THE_TEST = ("PRX_EMAIL_WORKERS=3", "PRX_EMAIL_OUTBOX_SESSIONS=1")
HELD = "SELECT count(*) FROM leases WHERE purpose = 'push' AND expires_at > now() AND holder LIKE %s"
LOOKED = "SELECT count(*) FROM process_heartbeats WHERE role = 'alerts' AND host = %s AND seen_at > %s"


class Team:
    def __init__(self, db: Host, first: Host, second: Host, source: Path) -> None:
        self.db, self.first, self.second, self.source = db, first, second, source
        self.hosts, self.token = (first, second), ""

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """As somebody who looks into the database, from beside the hosts."""
        where = {"host": self.db.machine.address, "dbname": "prx-email", "user": "prx-email", "password": PASSWORD}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def count(self, statement: str, *values: object) -> int:
        return int(self.sql(statement, *values)[0][0])

    def ask(self, host: Host, *asked: dict[str, Any]) -> list[dict[str, Any]]:
        inside = ["ip", "netns", "exec", host.machine.namespace, sys.executable, "-m", "tests.hosts.client", self.token]
        lines = "".join(f"{json.dumps(each)}\n" for each in asked)
        done = subprocess.run(inside, input=lines, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def get(self, host: Host, path: str) -> Any:
        (answer,) = self.ask(host, {"method": "GET", "path": path})
        assert answer["status"] == 200, f"{answer} {host.journals()}"
        return answer["body"]

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 300) -> None:
        try:
            wait_until(condition, seconds=seconds, what=what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.first.journals()}{self.second.journals()}") from error

    def resume(self) -> None:
        """Press "Resume sending"."""
        (answer,) = self.ask(self.first, {"method": "POST", "path": "/sending/resume", "body": {}})
        assert answer["status"] == 200 and not self.is_paused(), answer

    def is_paused(self) -> bool:
        return bool(self.get(self.second, "/sending")["data"]["paused_at"])

    def takes_over(self, host: Host, accounts: int, begin: float, since: object) -> dict[str, float]:
        """Seconds from `begin` until this host listens to all accounts, and until its alerts have looked since then."""
        took: dict[str, float] = {}

        def over() -> bool:
            if self.count(HELD, f"{host.name}/%") == accounts:
                took.setdefault("push", time.monotonic() - begin)
            if self.count(LOOKED, host.name, since):
                took.setdefault("alerts", time.monotonic() - begin)
            return len(took) == 2

        self.wait(over, f"{host.name} to take over")
        return took


@contextmanager
def team(folder: Path, dovecot: Dovecot, relay: SmtpServer, certificates: Certificates) -> Iterator[Team]:
    """Raises ServerMissing."""
    names = ("db", "first", "second")
    with machines(names, [dovecot.imap_port, relay.port], folder) as made:
        addresses = {name: machine.address for name, machine in zip(names, made, strict=True)}
        addresses |= {"DB": addresses["db"], "QUEUE": addresses["db"]}
        db, first, second = (Host(machine, folder, addresses) for machine in made)
        source = folder / "repository"
        source.mkdir()
        repository(source)
        set_up_servers(db)
        for host in (first, second):
            set_up_host(host, source, folder / "nfs")
        begin(first, certificates)
        second.type(block(TEAM, "# on each further host"))
        for host in (first, second):
            host.type(without(block(ONE, "cp /opt/prx-email/deploy/systemd"), "systemctl enable"))
            host.type(block(TEAM, "# on every host"))
        found = Team(db, first, second, source)
        said = first.manage("token admin --scope read --scope send --scope administer --per-minute 100000 --json")
        found.token = json.loads(said.strip().splitlines()[-1])["data"]["token"]
        yield found


def set_up_servers(db: Host) -> None:
    network = db.machine.address.rpartition(".")[0]
    db.type(block(TEAM, "# on DB").replace("NETWORK", f"{network}.0/24"))
    db.type(block(TEAM, "# on QUEUE"))


def set_up_host(host: Host, source: Path, nfs: Path) -> None:
    nfs.mkdir(exist_ok=True)
    host.type(f"mkdir -p /srv/prx-email-raw && mount --bind {nfs} /srv/prx-email-raw")
    host.type(without(block(ONE, "apt-get install"), "runuser").replace("REPOSITORY", str(source)))


def begin(first: Host, certificates: Certificates) -> None:
    """The environment and the keys, on the first host."""
    example = (ROOT / "deploy/environment.example").read_text().splitlines()
    wanted = [line for line in block(TEAM, "# in environment").splitlines() if not line.startswith("#")]
    names = {line.partition("=")[0] for line in wanted}
    kept = [line for line in example if line.partition("=")[0] not in names and not line.startswith("#")]
    folder = first.folder / "etc/prx-email"
    folder.mkdir()
    (folder / "environment").write_text("\n".join([*kept, *wanted, *OF_THE_TEST, ""]))
    for name, path in (("fullchain.pem", certificates.certificate), ("privkey.pem", certificates.key)):
        (folder / name).write_bytes(path.read_bytes())
    first.type(block(ONE, "mkdir -p /etc/prx-email"))
    first.type("chmod 640 /etc/prx-email/*")


def add_account(host: Host, email: str, dovecot: Dovecot, relay: SmtpServer) -> None:
    (host.folder / "opt/ca.pem").write_text(dovecot.ca_pem + relay.ca_pem)
    command = f"add_account {email} --imap-host localhost --imap-port {dovecot.imap_port} --smtp-host localhost"
    more = f"--smtp-port {relay.port} --smtp-security tls --password-env ANN_PASSWORD --ca-file /opt/ca.pem --json"
    host.type(f"echo ANN_PASSWORD={shlex.quote(MAILBOX_PASSWORD)} > /run/ann && chmod 644 /run/ann")
    host.type(
        "cd /opt/prx-email && set -a && . /etc/prx-email/environment && . /run/ann && "
        f"setpriv --reuid=prx-email --regid=prx-email --init-groups .venv/bin/python manage.py {command} {more}"
    )
