"""Machines of their own on one cable: network namespaces with a host name, joined by a bridge. Making them takes root.

Servers that the tests have on 127.0.0.1 are reached at 127.0.0.1 of each machine, by way of the cable.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.ports import ServerMissing
from tests.servers.site import ROOT

SET_NAME = 'hostname "$0" && exec "$@"'


@dataclass
class Machine:
    name: str
    namespace: str
    cable: str  # its end at the bridge
    address: str
    log: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *command: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """One of our commands (manage.py ...) on this machine."""
        inside = ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", SET_NAME, self.name]
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [*inside, sys.executable, *command], cwd=ROOT, env=dict(environment), stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def pids(self) -> list[int]:
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).split()]

    def cut(self) -> None:
        """Nothing passes its cable any more; whoever talks on it is told nothing."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        _ip("link", "set", self.cable, "up")

    def kill(self) -> None:
        """All of it, at once."""
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for each in self.started:
                each.wait()


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise ServerMissing(f"Machines of their own take root and network namespaces: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def machines(names: Iterable[str], ports: Iterable[int], folder: Path) -> Iterator[list[Machine]]:
    """Machines on one cable, which reach these ports of ours. Raises ServerMissing."""
    if os.geteuid() or not shutil.which("ip"):
        raise ServerMissing("Machines of their own take root and iproute2")
    mark, passed = secrets.token_hex(3), [str(port) for port in ports]
    net = f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
    with contextlib.ExitStack() as stack:
        bridge = f"prx{mark}"
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        stack.enter_context(_forward([], f"{net}.1", "127.0.0.1", passed))
        made = []
        for number, name in enumerate(names):
            address = f"{net}.{number + 2}"
            machine = Machine(name, f"prx{mark}-{name}", f"p{mark}{number}", address, folder / f"{name}.log")
            _ip("netns", "add", machine.namespace)
            stack.callback(_ip, "netns", "del", machine.namespace)
            stack.callback(machine.kill)
            _ip("link", "add", machine.cable, "type", "veth", "peer", "name", "eth0", "netns", machine.namespace)
            _ip("link", "set", machine.cable, "master", bridge, "up")
            for words in (["addr", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
                _ip("-n", machine.namespace, *words)
            _ip("-n", machine.namespace, "link", "set", "lo", "up")
            inside = ["ip", "netns", "exec", machine.namespace]
            stack.enter_context(_forward(inside, "127.0.0.1", f"{net}.1", passed))
            made.append(machine)
        yield made


@contextmanager
def _forward(inside: list[str], listen: str, target: str, ports: list[str]) -> Iterator[None]:
    command = [*inside, sys.executable, "-m", "tests.servers.forward", listen, target, *ports]
    with subprocess.Popen(["setpriv", "--pdeathsig=KILL", *command], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        try:
            yield
        finally:
            process.kill()
