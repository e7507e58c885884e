"""`make run`: prepares the installation, then starts web server, workers, push and alerts on a single machine.

With systemd or a container runtime as supervisor, run the commands separately: see docs/operations.md.

Ctrl-C or SIGTERM stops all processes; running requests and tasks may finish within PRX_EMAIL_STOP_SECONDS, and a second
signal does not wait. If the web server ends by itself, the others are stopped and the exit status is 1. Workers (which
end if they hang: see `prx_email_site.workers`), push, SMTP submission and alerts are started again.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from prx_email_site import environment as env

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_BIND = "127.0.0.1:8000"
PROCESSES = 2  # of the web server and of submission each, as Python runs one thread at a time
AGAIN_SECONDS = 5  # from the end of a process until it is started again


class CannotStart(Exception):
    """The site cannot start. The text says why and what to do."""


@dataclass(frozen=True)
class BindAddress:
    """The address that the web server listens on (PRX_EMAIL_BIND)."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> BindAddress:
        """From HOST:PORT, [v6]:PORT or :PORT (every interface); raises CannotStart."""
        try:
            parts = urlsplit(f"//{text}")
            port = parts.port
        except ValueError:
            port = None
        if not port:
            raise CannotStart(f"PRX_EMAIL_BIND must be HOST:PORT, such as {DEFAULT_BIND}, not {text!r}.")
        return cls(parts.hostname or "0.0.0.0", port)  # noqa: S104 - asked for by leaving the host out

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL to open on this machine; for every interface, that of 127.0.0.1."""
        everywhere = self.host in ("0.0.0.0", "::")  # noqa: S104
        return f"http://{BindAddress('127.0.0.1', self.port) if everywhere else self}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address. Names are not resolved; only localhost counts."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def check_free(self) -> None:
        """Raise CannotStart if another process listens on the address, or this one may not."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, self.port), family=family).close()
        except OSError as error:
            raise CannotStart(
                f"Cannot listen on {self}: {error.strerror}. Stop what uses it, or set PRX_EMAIL_BIND, "
                f"for instance PRX_EMAIL_BIND=127.0.0.1:8001."
            ) from error

    def answers(self) -> bool:
        """Whether the web server at this address gives an HTTP response of any status."""
        connection = http.client.HTTPConnection(urlsplit(self.url).hostname or "", self.port, timeout=2)
        try:
            connection.request("GET", "/health/live/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True


@dataclass
class Child:
    """A child process with its command, in its own session, so that Ctrl-C in a terminal reaches only the parent."""

    name: str
    command: Sequence[str]
    starts_again: bool = False
    process: subprocess.Popen[bytes] = field(init=False)
    _ended_at: float | None = None

    def start(self) -> None:
        """Start the process, which dies with this one; its lines are printed behind its name."""
        wrapped = [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid()), *self.command]
        self.process = subprocess.Popen(  # noqa: S603 - our own command lines
            wrapped, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._reader = threading.Thread(target=self._copy_lines, daemon=True)
        self._reader.start()

    def _copy_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            say(f"{self.name:<7} | {line.decode(errors='replace').rstrip()}")

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended, by itself or by a signal."""
        return self.process.poll() is not None

    def start_again(self) -> None:
        """Start the process again, AGAIN_SECONDS after it ended by itself."""
        if self._ended_at is None:
            self._ended_at = time.monotonic()
            say(f"The {self.name} process ended by itself (status {self.process.returncode}); it is started again.")
        elif time.monotonic() - self._ended_at >= AGAIN_SECONDS:
            self.kill_all()
            self._ended_at = None
            self.start()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, upon which it ends what it has begun."""
        # Only the command's own process gets SIGTERM, not its whole session: the cluster's parent drains its children.
        if not self.has_ended:
            self.process.terminate()

    def kill_all(self) -> None:
        """Kill all processes left in the session, then print the rest of their output."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(1)


def say(line: str) -> None:
    """Print a line at once: the output may be a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def commands(address: BindAddress) -> list[Child]:
    """The processes to start. PRX_EMAIL_PUSH, …_SUBMISSION_BIND and …_ALERTS_SECONDS decide about some of them."""
    web = [sys.executable, "-m", "gunicorn", "prx_email_site.wsgi", "--bind", str(address)]
    # Threads, as open pages poll; more of them than requests may run at once: see prx_email_site/request_limit.py.
    web += ["--workers", str(PROCESSES), "--threads", "24", "--worker-class", "gthread", "--graceful-timeout", "20"]
    web += ["--no-control-socket"]
    children = [Child("web", web)]
    children.append(Child("workers", [sys.executable, "manage.py", "qcluster"], starts_again=True))
    if env.boolean("PRX_EMAIL_PUSH", True):
        children.append(Child("push", [sys.executable, "manage.py", "idle"], starts_again=True))
    if env.text("PRX_EMAIL_SUBMISSION_BIND") or env.text("PRX_EMAIL_SUBMISSION_TLS_BIND"):
        for _ in range(PROCESSES):  # they share the port
            children.append(Child("smtp", [sys.executable, "manage.py", "submission"], starts_again=True))
    # A process of its own, as dead workers cannot report their death.
    alerts = [sys.executable, "manage.py", "alerts", "--every", str(env.integer("PRX_EMAIL_ALERTS_SECONDS", 30))]
    if alerts[-1] != "0":
        children.append(Child("alerts", alerts, starts_again=True))
    return children


class Launcher:
    """Runs the processes until a signal or the end of the web server. stop_seconds: how long they may take to stop."""

    def __init__(self, address: BindAddress, *, stop_seconds: float, welcome: str = "") -> None:
        self.address = address
        self.stop_seconds = stop_seconds
        self.welcome = welcome
        self.children = commands(address)
        self.stops_asked = 0

    def run(self) -> int:
        """Start all children; returns after a signal (status 0), or after the end of one that must run (status 1)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_stop)
        for child in self.children:
            child.start()
        announced = False
        needed = [child for child in self.children if not child.starts_again]
        while not self.stops_asked and not any(child.has_ended for child in needed):
            for child in self.children:
                if child.starts_again and child.has_ended:
                    child.start_again()
            if not announced and self.address.answers():
                announced = True
                say(self.welcome + f"Ready: {self.address.url}  (Ctrl-C stops)")
            time.sleep(0.2)
        ended = [child for child in needed if child.has_ended]
        for child in ended:
            say(f"The {child.name} process ended by itself (status {child.process.returncode}); stopping.")
        was_drained = self._stop_all()
        return 0 if self.stops_asked and not ended and was_drained else 1

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops_asked += 1

    def _stop_all(self) -> bool:
        """Stop all children; returns whether all ended in time. The others are killed."""
        say(f"Stopping: running requests and tasks may finish within {self.stop_seconds:g} s.")
        asked = self.stops_asked
        for child in self.children:
            child.ask_to_stop()
        end = time.monotonic() + self.stop_seconds
        while time.monotonic() < end and self.stops_asked <= max(asked, 1):
            if all(child.has_ended for child in self.children):
                break
            time.sleep(0.05)
        was_drained = all(child.has_ended for child in self.children)
        for child in self.children:
            child.kill_all()
        say("Stopped." if was_drained else "Stopped; what was still running was killed.")
        return was_drained


def check_address() -> int:
    """Return 1, with the reason on stderr, if the address is not free, else 0. Runs before packages are installed."""
    try:
        address = BindAddress.parse(env.text("PRX_EMAIL_BIND", DEFAULT_BIND))
    except (CannotStart, env.SettingError) as reason:
        print(reason, file=sys.stderr)  # noqa: T201
        return 1
    return 0 if is_free(address) else 1


def is_free(address: BindAddress) -> bool:
    """Whether nobody listens on the address and this process may; else the reason is on stderr."""
    try:
        address.check_free()
    except CannotStart as reason:
        print(reason, file=sys.stderr)  # noqa: T201
        return False
    return True


IN_PLAIN_HTTP = "is open to the network in plain HTTP: passwords and mail can be read on the way."
PROXY_HINT = (
    "Put a proxy that ends TLS before it, and set PRX_EMAIL_BASE_URL to its https address (docs/operations.md)."
)


def is_open_in_plain_http(address: BindAddress) -> bool:
    """Whether other machines can reach the address, and the base URL names no proxy that terminates TLS."""
    return not address.is_loopback and not env.text("PRX_EMAIL_BASE_URL").startswith("https://")


def main(*, before_start: Callable[[], None] = lambda: None, welcome: str = "") -> int:
    """Prepare and run the site; returns the exit status.

    before_start: called when the database is ready. welcome: printed when the site responds.
    """
    try:
        address = BindAddress.parse(env.text("PRX_EMAIL_BIND", DEFAULT_BIND))
        stop_seconds = env.integer("PRX_EMAIL_STOP_SECONDS", 30, minimum=1)
    except (CannotStart, env.SettingError) as reason:
        print(reason, file=sys.stderr)  # noqa: T201
        return 1
    if not is_free(address):
        return 1
    if not env.text("PRX_EMAIL_BASE_URL"):
        os.environ["PRX_EMAIL_BASE_URL"] = address.url
    if is_open_in_plain_http(address):
        say(f"WARNING: {address} {IN_PLAIN_HTTP} {PROXY_HINT}")
    try:
        prepared = subprocess.run([sys.executable, "manage.py", "prepare"], cwd=ROOT)
    except KeyboardInterrupt:
        say("Stopped before it was prepared; the next start goes on.")
        return 130
    if prepared.returncode:
        return prepared.returncode
    before_start()
    # Preparing takes as long as another start, which has the address by now: what answers there would not be ours.
    if not is_free(address):
        return 1
    return Launcher(address, stop_seconds=stop_seconds, welcome=welcome).run()


if __name__ == "__main__":
    sys.exit(check_address() if sys.argv[1:] == ["--check-address"] else main())
