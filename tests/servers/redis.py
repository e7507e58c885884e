"""A real Redis on a free port of 127.0.0.1, which keeps nothing on disk, and a real Sentinel."""

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

    def start(self, *more: str) -> RedisServer:
        """more: further options, such as --replicaof."""
        binary = shutil.which("redis-server")
        if binary is None:
            raise ServerMissing("Redis is missing: apt-get install redis-server")
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *more]
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


class RedisSentinel:
    """One that alone decides that `master` is gone, after a second, and makes a replica of it the master."""

    name = "prx"

    def __init__(self, folder: Path, master: RedisServer) -> None:
        self._folder, self._master = folder, master
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{self.name}/0"

    def start(self) -> RedisSentinel:
        path = self._folder / "sentinel.conf"
        path.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {self.name} 127.0.0.1 {self._master.port} 1\n"
            f"sentinel down-after-milliseconds {self.name} 1000\nsentinel failover-timeout {self.name} 3000\n"
        )
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "redis-server", str(path), "--sentinel"], stdout=subprocess.DEVNULL
        )
        wait_until(lambda: answers(self.port), seconds=30, what="the Sentinel")
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
