"""python -m benchmarks.proxy PORT MILLISECONDS: a TCP proxy that delays each byte, both ways, by so many milliseconds.

It prints the port it listens on. Bandwidth is not limited: what comes in is read at once and kept until it is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from benchmarks.frame import ROOT, goes_with_us

CHUNK = 1 << 20


class _OneWay(asyncio.Protocol):
    """Takes bytes from its own transport and gives them to the other's, late."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.other: _OneWay | None = None
        self.transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._is_timed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(1 << 30)
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._later(data)

    def eof_received(self) -> bool:
        self._later(None)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._later(None)

    def _later(self, data: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self.delay, data))
        if not self._is_timed:
            self._is_timed = True
            loop.call_at(self._waiting[0][0], self._pass_on)

    def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        due = []
        while self._waiting and self._waiting[0][0] <= loop.time():
            due.append(self._waiting.popleft()[1])
        self._give(due)
        self._is_timed = bool(self._waiting)
        if self._waiting:
            loop.call_at(self._waiting[0][0], self._pass_on)

    def _give(self, due: list[bytes | None]) -> None:
        target = self.other.transport if self.other else None
        if target is None or target.is_closing():
            return
        for data in due:
            if data is None:
                target.close()  # after what is still to be written
                return
            target.write(data)


async def _serve(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()

    class FromClient(_OneWay):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()  # type: ignore[union-attr]
            task = loop.create_task(self._connect())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async def _connect(self) -> None:
            _, far = await loop.create_connection(lambda: _OneWay(delay), "127.0.0.1", port)
            far.other, self.other = self, far
            self.transport.resume_reading()  # type: ignore[union-attr]

    tasks: set[asyncio.Task[None]] = set()
    server = await loop.create_server(lambda: FromClient(delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def delayed(port: int, one_way_milliseconds: float) -> Iterator[int]:
    """A proxy in a process of its own before this port of 127.0.0.1; gives its port."""
    command = [*goes_with_us(), sys.executable, "-m", "benchmarks.proxy", str(port), str(one_way_milliseconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
