"""A TCP proxy that resets each connection after a random number of bytes, as a bad network would."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import threading

BUFFER = 4096  # bytes: of each socket, so that little of what was sent lies on the way


class ResettingProxy:
    """Listens on 127.0.0.1 at `port`; a connection lives for a number of bytes (both ways) with this mean."""

    def __init__(self, target_port: int, *, mean_bytes: float, seed: int) -> None:
        self._target, self._mean, self._random = target_port, mean_bytes, random.Random(seed)
        self._lock = threading.Lock()
        self.resets = 0
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            with self._lock:
                budget = int(self._random.expovariate(1 / self._mean))
            threading.Thread(target=self._carry, args=(client, budget), daemon=True).start()

    def _carry(self, client: socket.socket, budget: int) -> None:
        server = socket.socket()
        with client, server, selectors.DefaultSelector() as selector:
            for each in (client, server):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            with contextlib.suppress(OSError):
                server.connect(("127.0.0.1", self._target))
                for source, sink in ((client, server), (server, client)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    selector.register(source, selectors.EVENT_READ, sink)
                while budget > 0:
                    for key, _events in selector.select():
                        received = key.fileobj.recv(min(BUFFER, max(budget, 1)))  # type: ignore[union-attr]
                        if not received:
                            return
                        key.data.sendall(received)
                        budget -= len(received)
                self.resets += 1
                for each in (client, server):  # RST, and what the other end has not read yet is gone
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
