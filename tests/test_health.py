"""What a watch outside is told, and how soon: by a real web server, with a PostgreSQL that is frozen."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from api.v1.protocol.answers import Problem
from mailbox.models import WorkerHeartbeat
from prx_email_site import request_limit
from prx_email_site.launch import BindAddress, commands
from prx_email_site.monitoring import health_checks
from tests.servers.ports import answers, free_ports, wait_until
from tests.servers.postgres import Postgres
from tests.servers.site import ROOT

WITHIN = 3.0  # seconds, as a prober waits; a deadline and not a measure


@pytest.mark.django_db(transaction=True)
def test_health_answers_without_a_sign_in(client: Client) -> None:
    assert client.get("/health/live/").content == b"ok\n"
    assert client.get("/health/ready/").content == b"ok\n"


@pytest.mark.django_db(transaction=True)
def test_a_watch_outside_is_told_when_no_worker_takes_tasks(client: Client) -> None:
    def answer() -> tuple[int, bytes]:
        response = client.get("/health/workers/")
        return response.status_code, response.content

    assert answer() == (503, b"no worker\n")
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=now)
    assert answer() == (200, b"ok\n")
    WorkerHeartbeat.objects.update(seen_at=now - timedelta(minutes=2))
    assert answer() == (503, b"no worker\n")
    assert client.get("/health/ready/").status_code == 200  # people are still sent to the pages, which say so


def test_who_asks_while_the_database_is_silent_waits_for_the_question_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many ask, one thread waits for the database, and who comes late is answered at once."""
    asked, over = list[int](), threading.Event()
    monkeypatch.setattr(health_checks, "ANSWER_SECONDS", 0.05)
    check = health_checks.Check(lambda: bool(asked.append(1)) or over.wait(30), "test")
    assert [check.answer() for _ in range(20)] == [None] * 20
    assert asked == [1]
    over.set()
    wait_until(lambda: check.answer() is True, seconds=5, what="the database's answer")


def test_what_finds_no_slot_is_told_to_come_back_and_a_probe_needs_none() -> None:
    inside, over, said = threading.Event(), threading.Event(), list[str]()

    def site(environ: dict[str, object], start_response: object) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow/":
            inside.set()
            over.wait(30)
        return [b"page"]

    served = request_limit.RequestLimit(site, slots=1, wait=0)  # type: ignore[arg-type]

    def ask(path: str) -> list[bytes]:
        return list(served({"PATH_INFO": path}, lambda status, headers: said.append(status)))  # type: ignore

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, "/slow/")
        assert inside.wait(30)
        assert ask("/") == [request_limit.BUSY] and said == ["503 Service Unavailable"]
        assert ask("/health/live/") == [b"page"]
        over.set()
        assert slow.result(30) == [b"page"]
    assert ask("/") == [b"page"]


def test_programs_wait_in_line_where_a_page_is_told_to_come_back_and_the_line_has_an_end() -> None:
    inside, over = threading.Semaphore(0), threading.Event()

    def site(environ: dict[str, object], start_response: object) -> list[bytes]:
        inside.release()
        over.wait(30)
        return [b"answer"]

    served = request_limit.RequestLimit(site, slots=1, wait=0, line=2, line_wait=30)  # type: ignore[arg-type]

    def ask(path: str) -> list[bytes]:
        return list(served({"PATH_INFO": path}, lambda status, headers: None))  # type: ignore

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, "/api/v1/send") for _ in range(3)]
        assert inside.acquire(timeout=30)
        wait_until(lambda: served._line._value == 0, seconds=30, what="two that wait in line")
        assert ask("/") == [request_limit.BUSY]
        (answer,) = ask("/api/v1/send")
        assert Problem.model_validate_json(answer).error.code == "Storage"
        over.set()
        assert [each.result(30) for each in asked] == [[b"answer"]] * 3
    assert ask("/api/v1/send") == [b"answer"]


def test_twenty_programs_at_once_find_place_in_one_process() -> None:
    assert request_limit.AT_ONCE + request_limit.LINE >= 20
    assert request_limit.THREADS - request_limit.AT_ONCE - request_limit.LINE >= 2, "for probes and pages"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Only a server is connected to.")
@pytest.mark.django_db(transaction=True)
def test_a_connection_has_limits_for_a_network_that_drops_packets() -> None:
    connection.ensure_connection()
    assert connection.connection is not None
    known = {option.keyword.decode(): option.val for option in connection.connection.pgconn.info if option.val}
    assert (known["connect_timeout"], known["tcp_user_timeout"]) == (b"5", b"11000")
    assert (known["keepalives"], known["keepalives_idle"], known["keepalives_interval"]) == (b"1", b"5", b"2")


class Site:
    """The web server as `make run` starts it, on a PostgreSQL of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        (self.port,) = free_ports(1)
        web = commands(BindAddress("127.0.0.1", self.port))[0]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PRX_EMAIL_")}
        clean |= {"DATABASE_URL": url, "PRX_EMAIL_DATA_DIR": str(folder / "data")}
        clean["DJANGO_SETTINGS_MODULE"] = "prx_email_site.settings"
        self.log = folder / "web.log"
        with self.log.open("wb") as log:
            goes_with_us = [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid())]
            self.process = subprocess.Popen([*goes_with_us, *web.command], cwd=ROOT, env=clean, stdout=log, stderr=log)
        wait_until(lambda: answers(self.port), seconds=60, what="the web server")

    def get(self, path: str, *, seconds: float = 60, cookie: str = "") -> int:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            asked.request("GET", path, headers={"Cookie": cookie} if cookie else {})
            return asked.getresponse().status
        finally:
            asked.close()


@pytest.mark.long
def test_probes_answer_while_the_database_is_silent_and_many_wait_for_it(postgres: Postgres, tmp_path: Path) -> None:
    site = Site(tmp_path, postgres.url)
    try:
        wait_until(lambda: site.get("/health/ready/") == 200, seconds=60, what="the database's answer")
        postgres.freeze()
        begun = threading.Semaphore(0)

        def wait_for_a_page() -> None:
            begun.release()
            try:
                site.get("/", cookie="sessionid=somebody")
            except OSError:
                return

        with ThreadPoolExecutor(20) as people:
            for _ in range(20):
                people.submit(wait_for_a_page)
            for _ in range(20):
                begun.acquire()
            assert site.get("/health/live/", seconds=WITHIN) == 200
            assert site.get("/health/ready/", seconds=WITHIN) == 503
            assert site.get("/health/live/", seconds=WITHIN) == 200
            postgres.thaw()
        wait_until(lambda: site.get("/health/ready/") == 200, seconds=30, what="the database's answer")
    finally:
        site.process.send_signal(signal.SIGKILL)
        site.process.wait()
