"""What test_soak.py runs: all parts of a site beside each other, the faults that befall them, and what they hold."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from django.db import connection

from tests.api.calling import V1
from tests.servers.dovecot import Dovecot
from tests.servers.ports import answers, free_ports, wait_until
from tests.servers.redis import RedisServer
from tests.servers.site import Cluster
from tests.servers.smtp import Reply, SmtpServer

LOCK_SECONDS = 8  # longer than a writer of SQLite waits


class WebServer:
    """gunicorn as `make run` starts it, with one process."""

    def __init__(self, start: Callable[..., Cluster], **environment: str) -> None:
        (self.port,) = free_ports(1)
        command = ["-m", "gunicorn", "prx_email_site.wsgi", "--bind", f"127.0.0.1:{self.port}", "--workers", "1"]
        command += ["--threads", "4", "--worker-class", "gthread", "--no-control-socket"]
        self.service = start(command=command, **environment)
        wait_until(lambda: answers(self.port), seconds=60, what="the web server")

    def send(self, secret: str, key: str, body: dict[str, object]) -> bool:
        """Ask for a mail by the HTTP API. False if it did not say that it has it."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{V1}/send",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", "Idempotency-Key": key},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return bool(json.load(answer)["ok"])
        except urllib.error.HTTPError as refused:
            if refused.code < 500:
                raise AssertionError(refused.read()) from refused
            return False
        except OSError:
            return False


@dataclass
class Part:
    """A part of the site that lives from the beginning to the end. samples: (PSS in bytes, descriptors) of all its
    processes: their number changes, as parsers come and go, and so a mean would."""

    name: str
    service: Cluster
    samples: list[tuple[float, float]] = field(default_factory=list)

    def measure(self) -> None:
        memory, files = [], []
        for pid in self.service.pids():
            with suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
                memory.append(1024 * int(rollup[rollup.index("Pss:") + 1]))
                files.append(len(os.listdir(f"/proc/{pid}/fd")))
        self.samples.append((sum(memory), sum(files)))

    def growth(self) -> tuple[float, float]:
        """Of memory and of descriptors: the median of the last quarter over that of the third. In the second, of
        twenty minutes, workers still load what they need first (a step of 80 MB each)."""
        quarter = max(len(self.samples) // 4, 1)
        third, last = self.samples[-2 * quarter : -quarter] or self.samples, self.samples[-quarter:]
        memory, files = (median(each[n] for each in last) / median(each[n] for each in third) for n in (0, 1))
        return memory, files

    def __str__(self) -> str:
        held = ", ".join(f"{memory / 2**20:.0f}/{files:.0f}" for memory, files in self.samples)
        return f"{self.name}: MB/descriptors {held}; growth {self.growth()}"


class Soak:
    """Parts that live on, others that are killed, and the servers around them. Each fault is over within its minute."""

    def __init__(
        self, start: Callable[..., Cluster], relay: SmtpServer, dovecot: Dovecot, redis: RedisServer, seed: int
    ) -> None:
        self.start, self.relay, self.dovecot, self.redis = start, relay, dovecot, redis
        self.told = {"PRX_EMAIL_BROKER_URL": redis.url}
        self.web, self.other_web = (WebServer(start, **self.told) for _ in range(2))
        workers, self.other = start(**self.told), start(**self.told)
        push = start(command=("manage.py", "idle"), **self.told)
        self.steady = [Part("workers", workers), Part("web", self.web.service), Part("push", push)]
        self._chance = random.Random(seed)
        self._coming: list[Callable[[Callable[[float], None]], None]] = []

    def next_fault(self) -> Callable[[Callable[[float], None]], None]:
        """All come once in an order of chance, then again in another. To be called with a function that waits."""
        if not self._coming:
            self._coming = [
                *(self.kill_a_worker, self.freeze_a_worker, self.kill_workers, self.kill_web),
                *(self.stop_relay, self.refuse, self.break_sessions, self.stop_dovecot, self.kill_dovecot),
                *(self.restart_redis, self.take_the_database_away),
            ]
            self._chance.shuffle(self._coming)
        return self._coming.pop()

    def kill_a_worker(self, wait: Callable[[float], None]) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._chance.choice(self.other.pids()), signal.SIGKILL)

    def freeze_a_worker(self, wait: Callable[[float], None]) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.other.pids()[-1], signal.SIGSTOP)  # the cluster replaces it

    def kill_workers(self, wait: Callable[[float], None]) -> None:
        self.other.kill()
        self.other = self.start(**self.told)

    def kill_web(self, wait: Callable[[float], None]) -> None:
        self.other_web.service.kill()
        wait(5)
        self.other_web = WebServer(self.start, **self.told)

    def stop_relay(self, wait: Callable[[float], None]) -> None:
        """Connections are refused for a while."""
        self.relay.stop()
        wait(15)
        self.relay.start()

    def break_sessions(self, wait: Callable[[float], None]) -> None:
        """Whatever is open ends, in the middle of what it said."""
        for _ in range(10):
            self.relay.end_sessions()
            wait(1)

    def refuse(self, wait: Callable[[float], None]) -> None:
        self.relay.on("RCPT", Reply("451 4.3.0 not now"), times=5)

    def stop_dovecot(self, wait: Callable[[float], None]) -> None:
        self.dovecot.stop()
        wait(15)
        self.dovecot.start()

    def kill_dovecot(self, wait: Callable[[float], None]) -> None:
        self.dovecot.kill()
        wait(5)
        self.dovecot.start()

    def restart_redis(self, wait: Callable[[float], None]) -> None:
        """What was in it is gone."""
        self.redis.kill()
        wait(10)
        self.redis.start()

    def take_the_database_away(self, wait: Callable[[float], None]) -> None:
        """PostgreSQL: all sessions but ours end, as when it is restarted. SQLite: another program holds the lock."""
        if connection.vendor == "postgresql":
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            for _ in range(3):
                with connection.cursor() as cursor:
                    cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
                wait(2)
            return
        with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            wait(LOCK_SECONDS)
            other.execute("ROLLBACK")
