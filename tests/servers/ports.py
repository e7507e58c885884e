"""Free ports, and knowing when a server answers on one."""

import socket
import time
from collections.abc import Callable


class ServerMissing(Exception):
    """A server is not installed or cannot run here; the text says what to do about it."""


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on. All are held until the last is found, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Ask again and again until the condition holds; raises TimeoutError naming `what`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)
