"""A network that drops packets between the site and PostgreSQL: in a network namespace of its own, by root."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prx_email_site.launch import BindAddress, commands
from tests.servers.ports import ServerMissing, free_ports, wait_until
from tests.servers.postgres import Postgres
from tests.servers.site import ROOT

WITHIN = 10.0  # a probe answers within three seconds; CI may be slow
# Two networks over one cable: the database's replies are lost on one, and the test asks the site over the other.
TO_DATABASE, OF_SITE, TO_TEST, SITE = "10.213.7.1", "10.213.7.2", "10.213.8.1", "10.213.8.2"


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise ServerMissing(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Namespace:
    """A network namespace with a cable to this one."""

    def __init__(self) -> None:
        self.name, self._ours, theirs = f"prx{os.getpid()}", f"pa{os.getpid()}", f"pb{os.getpid()}"
        ip("netns", "add", self.name)
        ip("link", "add", self._ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
        for ours, other in ((TO_DATABASE, OF_SITE), (TO_TEST, SITE)):
            ip("addr", "add", f"{ours}/30", "dev", self._ours)
            ip("-n", self.name, "addr", "add", f"{other}/30", "dev", theirs)
        ip("link", "set", self._ours, "up")
        ip("-n", self.name, "link", "set", theirs, "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def drop_replies(self) -> None:
        """What the site asks arrives; what is answered is dropped, without a word to either side."""
        ip("route", "add", "blackhole", f"{OF_SITE}/32")

    def deliver_replies(self) -> None:
        ip("route", "del", "blackhole", f"{OF_SITE}/32")

    def remove(self) -> None:
        subprocess.run(["ip", "route", "del", "blackhole", f"{OF_SITE}/32"], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


def relay(to_port: int) -> int:
    """Carry connections to the database, which trusts loopback only; the port they are taken at."""
    listening = socket.create_server((TO_DATABASE, 0))

    def carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            each.close()

    def take() -> None:
        while True:
            taken, _ = listening.accept()
            there = socket.create_connection(("127.0.0.1", to_port))
            for pair in ((taken, there), (there, taken)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=take, daemon=True).start()
    return int(listening.getsockname()[1])


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("Only root makes network namespaces, with iproute2.")
    try:
        made = Namespace()
    except ServerMissing as reason:
        pytest.skip(f"No network namespaces here: {reason}")
    yield made
    made.remove()


def get(port: int, path: str, *, seconds: float = 60, cookie: str = "") -> tuple[int, str]:
    asked = http.client.HTTPConnection(SITE, port, timeout=seconds)
    try:
        asked.request("GET", path, headers={"Host": "127.0.0.1", **({"Cookie": cookie} if cookie else {})})
        answer = asked.getresponse()
        return answer.status, answer.read().decode()
    finally:
        asked.close()


def is_ready(port: int) -> bool:
    try:
        return get(port, "/health/ready/")[0] == 200
    except OSError:
        return False


@pytest.mark.long
def test_a_database_whose_packets_are_dropped_is_told_by_probes_and_pages(
    namespace: Namespace, postgres: Postgres, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PRX_EMAIL_")}
    clean["DATABASE_URL"] = f"postgres://postgres@{TO_DATABASE}:{relay(postgres.port)}/postgres"
    clean |= {"PRX_EMAIL_DATA_DIR": str(tmp_path / "data"), "DJANGO_SETTINGS_MODULE": "prx_email_site.settings"}
    inside = ["ip", "netns", "exec", namespace.name]
    migrate = [*inside, sys.executable, "manage.py", "migrate"]
    subprocess.run(migrate, cwd=ROOT, env=clean, check=True, capture_output=True)
    web = commands(BindAddress("0.0.0.0", port))[0]
    with (tmp_path / "web.log").open("wb") as log:
        site = subprocess.Popen(
            [*inside, *web.command], cwd=ROOT, env=clean, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: is_ready(port), seconds=60, what="the database's answer")
        namespace.drop_replies()
        assert get(port, "/health/live/", seconds=WITHIN)[0] == 200
        assert get(port, "/health/ready/", seconds=WITHIN)[0] == 503
        # Each limit in its turn: of a connection that was open (tcp_user_timeout) or is made anew (connect_timeout).
        for _ in range(2):
            status, page = get(port, "/", cookie="sessionid=somebody")
            assert status == 503
            assert "does not answer" in page
        assert get(port, "/health/live/", seconds=WITHIN)[0] == 200
        namespace.deliver_replies()
        wait_until(lambda: is_ready(port), seconds=60, what="the database's answer")
        assert get(port, "/", cookie="sessionid=somebody")[0] == 302
    finally:
        os.killpg(site.pid, signal.SIGKILL)
        site.wait()
