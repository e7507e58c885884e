"""The real web server ends while a program hands in a mail: one that was answered goes out once, and so does one that
was not, once it is asked for again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.api.calling import Program, mail, ops
from tests.servers.ports import free_ports, wait_until
from tests.servers.site import Cluster, children_of

__all__ = ["ops"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


class Web:
    """gunicorn with one process."""

    def __init__(self, log: Path) -> None:
        (self.port,) = free_ports(1)
        command = ["-m", "gunicorn", "prx_email_site.wsgi", "--bind", f"127.0.0.1:{self.port}", "--workers", "1"]
        command += ["--worker-class", "gthread", "--threads", "4", "--no-control-socket"]
        self.process = Cluster(log, command=command)
        wait_until(self._answers, seconds=60, what="the web server")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=10) as found:
            found.sendall(b"GET /health/live/ HTTP/1.0\r\n\r\n")
            return b" 200 " in read(found)[:20]
        return False

    def ask(self, program: Program, body: dict[str, Any]) -> tuple[socket.socket, bytes]:
        """Begin a request with the key "a": (the connection, what is still to be said). A thread of the server reads
        it by then: one that waits to be accepted would go to the next process."""
        content = json.dumps(body).encode()
        head = f"POST /api/v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {program.secret}\r\n"
        head += f"Idempotency-Key: a\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + content[:-1])
        wait_until(lambda: self._has_read(connection), seconds=30, what="the request")
        return connection, content[-1:]

    def _has_read(self, connection: socket.socket) -> bool:
        """Whether the server's end has an owner, and nothing unread (proc_pid_net(5): inode, rx_queue)."""
        ends = f":{self.port:04X}", f":{connection.getsockname()[1]:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_, inode = line.split()[:10]
            if local.endswith(ends[0]) and remote.endswith(ends[1]):
                return inode != "0" and queues.endswith(":00000000")
        return False


def read(connection: socket.socket) -> bytes:
    """All that comes; b"" for a connection that is reset."""
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except ConnectionResetError:
        pass
    return said


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    web = Web(tmp_path / "web.log")
    yield web
    web.process.kill()


@pytest.fixture
def program(make_user: Callable[..., User]) -> Program:
    return Program(make_user("operator"))


def test_a_request_that_has_begun_is_answered_after_sigterm(web: Web, ops: Account, program: Program) -> None:
    connection, rest = web.ask(program, mail(ops))
    with connection:
        os.kill(web.process.pid, signal.SIGTERM)
        wait_until(lambda: "Handling signal: term" in web.process.log(), seconds=30, what="the signal")
        connection.sendall(rest)
        assert b" 202 " in read(connection)[:20]
    assert web.process.process.wait(60) == 0
    assert OutboxMessage.objects.count() == 1


def test_a_client_that_leaves_before_its_end_has_handed_in_nothing(web: Web, ops: Account, program: Program) -> None:
    connection, _ = web.ask(program, mail(ops))
    connection.close()
    wait_until(lambda: "Bad Request: /api/v1/send" in web.process.log(), seconds=30, what="the end of the request")
    assert not OutboxMessage.objects.exists() and "ERROR" not in web.process.log()


def test_a_process_that_is_killed_before_it_has_all_is_replaced(web: Web, ops: Account, program: Program) -> None:
    connection, rest = web.ask(program, mail(ops))
    (worker,) = children_of(web.process.pid)
    with connection:
        os.kill(worker, signal.SIGKILL)
        assert read(connection) == b""
    wait_until(lambda: children_of(web.process.pid) not in ([], [worker]), seconds=30, what="the next process")
    again, rest = web.ask(program, mail(ops))
    with again:
        again.sendall(rest)
        assert b" 202 " in read(again)[:20]
    assert OutboxMessage.objects.count() == 1
