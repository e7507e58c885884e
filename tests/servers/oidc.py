"""A real identity provider on loopback, npm's oidc-provider, whose access tokens the Dovecot of the tests checks.

Its sign-in page takes any name and password: the name is the mailbox. `client` is for mailboxes; `people` for signing
in to the site itself. Any callback address on this machine is taken.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.ports import ServerMissing, answers, free_ports, wait_until

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).parent / "oidc"
INSTALLED = ROOT / "var/oidc-provider"


class OidcProvider:
    """Started with `start()`. `key` is the file with the key that signs access tokens, as Dovecot reads it."""

    client = ("prx", "s3cret")
    people = ("people", "p3ople")

    def __init__(self, key: Path, log: Path) -> None:
        if (node := shutil.which("node")) is None:
            raise ServerMissing("Node.js is missing: apt-get install npm")
        _install()
        self._node, self._key, self._log = node, key, log
        [self.port] = free_ports(1)
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.discovery = f"{self.issuer}/.well-known/openid-configuration"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> OidcProvider:
        program = INSTALLED / "provider.mjs"
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "prx_email_site.parent_death", str(os.getpid()), self._node, program],
                cwd=ROOT,
                env={**os.environ, "PORT": str(self.port), "KEY": str(self._key), "NODE_ENV": "test"},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(lambda: process.poll() is not None or answers(self.port), seconds=30, what="the identity provider")
        if process.poll() is not None:
            raise RuntimeError(f"oidc-provider does not start: {self._log.read_text(errors='replace')[-4000:]}")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def is_running(self) -> bool:
        return answers(self.port)

    def control(self, **changes: Any) -> dict[str, Any]:
        """Change how it behaves (see `state` in provider.mjs; `reset=True`, `revoke=True`), and what it is now."""
        request = urllib.request.Request(f"{self.issuer}/control", json.dumps(changes).encode() if changes else None)
        with urllib.request.urlopen(request, timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
        return state

    def token_requests(self, grant_type: str = "refresh_token") -> list[int]:
        """The status of each answer to a token request of this kind, in order."""
        wanted = f"POST /token {grant_type} "
        return [int(each.rpartition(" ")[2]) for each in self.control()["requests"] if each.startswith(wanted)]


def _install() -> None:
    """Install the pinned packages once, whichever of several test processes comes first."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["sh", "scripts/install-servers", "oidc-provider"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise ServerMissing(f"npm could not install oidc-provider: {done.stderr[-500:]}")
        program = (SOURCES / "provider.mjs").read_text()
        if not (INSTALLED / "provider.mjs").exists() or (INSTALLED / "provider.mjs").read_text() != program:
            (INSTALLED / "provider.mjs").write_text(program)
