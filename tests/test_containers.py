"""deploy/Dockerfile is built and runs as deploy/compose.yaml says, without a daemon: its parts write to /data and /tmp
alone, are healthy, fetch mail, and send each mail once, though their container is killed in the middle of one."""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from tests.conftest import missing
from tests.rows import letter
from tests.servers.dovecot import Dovecot
from tests.servers.machines import machines
from tests.servers.podman import NoContainers, Podman, podman
from tests.servers.ports import ServerMissing, wait_until
from tests.servers.postgres import Postgres
from tests.servers.redis import RedisServer
from tests.servers.smtp import SinkMail, SmtpServer

pytestmark = [
    pytest.mark.long,
    # It has a PostgreSQL of its own: once is enough.
    pytest.mark.skipif("postgresql" in settings.DATABASES["default"]["ENGINE"], reason="run with SQLite"),
]
PARTS = ("web", "workers", "push", "alerts")
RECEIVED = 30
USER = "ann@example.test"
TRUSTED = "/run/trusted.pem"  # in the container
KERNELS_OWN = ("/proc", "/sys", "/dev")


@pytest.fixture(scope="module")
def image() -> Iterator[Podman]:
    with tempfile.TemporaryDirectory(prefix="prx-podman-", ignore_cleanup_errors=True) as folder:
        try:
            with podman(Path(folder)) as found:
                yield found
        except ServerMissing as reason:
            missing(reason)
        except NoContainers as reason:
            pytest.skip(str(reason))


class Relay:
    """Takes mail; with `hold` set it answers the final dot of the next one when `release` says so."""

    def __init__(self, start: Callable[..., SmtpServer]) -> None:
        self.hold, self.held, self.release = threading.Event(), threading.Event(), threading.Event()
        self.server = start("tls", deliver=self._deliver)

    def _deliver(self, mail: SinkMail) -> None:
        if self.hold.is_set():
            self.held.set()
            self.release.wait()

    def subjects(self) -> Counter[str]:
        return Counter(re.findall(r"^Subject: (\w+)", "".join(mail.raw.decode() for mail in self.server.mails()), re.M))


@pytest.fixture
def relay(smtp_server: Callable[..., SmtpServer]) -> Iterator[Relay]:
    made = Relay(smtp_server)
    yield made
    made.release.set()


class Site:
    """The parts, in one network namespace."""

    def __init__(self, podman: Podman, postgres: Postgres) -> None:
        self.podman, self._postgres = podman, postgres

    def manage(self, *words: str, **variables: str) -> Any:
        given = [f"--env={name}={value}" for name, value in variables.items()]
        return json.loads(self.podman("exec", *given, "web", "python", "manage.py", *words, "--json").splitlines()[-1])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._postgres.url) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[call-overload,no-any-return]

    def queue(self, *subjects: str) -> None:
        each = "assert api.queue(1, 'bob@example.test', subject, 'A text.').ok"
        code = f"from outbox import api\nfor subject in {subjects!r}:\n    {each}"
        self.podman("exec", "web", "python", "manage.py", "shell", "--verbosity=0", "--command", code)

    def outbox(self) -> dict[str, tuple[str, str]]:
        return {
            subject: (status, hold) for subject, status, hold in self.rows("SELECT subject, status, hold FROM outbox")
        }

    def answers(self, path: str) -> bool:
        ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:8000{path}', timeout=9)"
        return self.podman.says_yes("exec", "web", "python", "-c", ask)

    def logs(self) -> str:
        names = self.podman("ps", "--all", "--format={{.Names}}").split()
        # A log's end, of each.
        return "\n".join(f"{name}: {self.podman('logs', name)[-4000:]}" for name in names)


def secrets_in(folder: Path, url: str) -> Path:
    """As docs/operations.md makes them: the folder is closed, its files are read by the containers' user."""
    folder.mkdir(mode=0o700)
    kept = {
        "database_url": url,
        "secret_key": "k" * 50,
        "encryption_keys": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    }
    for name, text in kept.items():
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o644)
    return folder


@pytest.fixture
def site(
    image: Podman, postgres: Postgres, redis: RedisServer, relay: Relay, dovecot: Dovecot, tmp_path: Path
) -> Iterator[Site]:
    ports = [postgres.port, redis.port, relay.server.port, dovecot.imap_port]
    says = {
        "PRX_EMAIL_BROKER_URL": redis.url,
        "PRX_EMAIL_BASE_URL": "http://mail.example.test",
        "PRX_EMAIL_MESSAGE_ID_DOMAIN": "mail.example.test",
        "PRX_EMAIL_ADMIN_PASSWORD": "a-password-of-the-first-one",
    }
    secrets = secrets_in(tmp_path / "secrets", postgres.url)
    (tmp_path / "trusted.pem").write_text(dovecot.ca_pem + relay.server.ca_pem)
    trusted = f"--volume={tmp_path}/trusted.pem:{TRUSTED}:ro"
    with machines(["containers"], ports, tmp_path) as (machine,):
        made = Site(image, postgres)
        try:
            assert "First administrator: admin" in image.start("prepare", machine.namespace, secrets, says)
            for part in PARTS:
                image.start(part, machine.namespace, secrets, says, trusted)
            yield made
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{made.logs()}") from error
        finally:
            image.says_yes("rm", "--all", "--force", "--time=0")


def is_confined(site: Site, part: str) -> None:
    status = dict(line.split(":", 1) for line in site.podman("exec", part, "cat", "/proc/1/status").splitlines())
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"
    left_out = [word for path in KERNELS_OWN for word in ("-path", path, "-prune", "-o")]
    left_out += ["-type", "d", "(", "!", "-readable", "-o", "!", "-executable", ")", "-prune", "-o"]
    # access(2) of this user: a file system that is mounted read-only refuses, too.
    writable = ["!", "-type", "l", "-writable", "-print", "-prune"]
    assert set(site.podman("exec", part, "find", "/", *left_out, *writable).split()) == {"/data", "/tmp"}


def test_the_image_runs_as_the_compose_file_says(site: Site, relay: Relay, dovecot: Dovecot) -> None:
    wait_until(lambda: site.podman.says_yes("healthcheck", "run", "web"), seconds=120, what="the web server")
    wait_until(lambda: site.answers("/health/workers/"), seconds=120, what="workers")
    assert site.answers("/health/ready/")
    for part in PARTS:
        is_confined(site, part)

    dovecot.append_many(USER, "INBOX", [(letter(f"{n}"), (), None) for n in range(RECEIVED)])
    site.manage(
        "add_account", USER, "--imap-host", "localhost", "--imap-port", str(dovecot.imap_port),
        "--smtp-host", "localhost", "--smtp-port", str(relay.server.port), "--smtp-security", "tls",
        "--ca-file", TRUSTED, "--password-env", "PASSWORD", PASSWORD=dovecot.password,
    )  # fmt: skip
    wait_until(lambda: site.rows("SELECT count(*) FROM messages") == [(RECEIVED,)], seconds=180, what="all mail")
    wait_until(
        lambda: sum(each["connected"] for each in site.manage("status")["push"].values()), seconds=120, what="push"
    )

    site.queue("one", "two", "three")
    wait_until(lambda: set(site.outbox().values()) == {("sent", "")}, seconds=180, what="three mails to be sent")
    relay.hold.set()
    site.queue("held")
    wait_until(relay.held.is_set, seconds=120, what="the end of a mail, which the server answers not yet")
    site.podman("kill", "--signal=KILL", "workers")
    site.podman("wait", "workers")
    relay.hold.clear()
    relay.release.set()
    site.podman("start", "workers")
    wait_until(lambda: site.outbox()["held"] == ("failed", "uncertain"), seconds=180, what="the end of its claim")
    site.queue("after")
    wait_until(lambda: site.outbox()["after"] == ("sent", ""), seconds=180, what="a mail after that")
    assert relay.subjects() == Counter(dict.fromkeys(("one", "two", "three", "held", "after"), 1))

    # The image's pg_dump.
    site.podman("exec", "workers", "python", "manage.py", "backup", "/data/backup")
    assert set(site.podman("ps", "--format={{.Names}}").split()) == set(PARTS)
    assert not re.search("Read-only file system|Permission denied|Traceback", site.logs())
