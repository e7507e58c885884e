"""A real Redis on a free port of 127.0.0.1, which keeps nothing on disk."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers.ports import ServerMissing, answers, free_ports, wait_until


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        binary = shutil.which("redis-server")
        if binary is None:
            raise ServerMissing("Redis is missing: apt-get install redis-server")
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *command], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        wait_until(lambda: answers(self.port), seconds=30, what="Redis")
        return self

    def freeze(self) -> None:
        """It answers nothing; connections are still taken by the kernel."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
