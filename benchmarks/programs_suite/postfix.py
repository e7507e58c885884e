"""The peer: Postfix's own smtpd, which takes mail with STARTTLS and AUTH PLAIN and holds it until it is told to go on.

An instance with folders of its own; the machine's Postfix, where there is one, is neither used nor changed. Passwords
are asked of Dovecot, as at many a site.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.frame import ROOT, goes_with_us
from benchmarks.machine import PATH
from benchmarks.servers import Server
from tests.servers.ports import ServerMissing, answers, free_ports, wait_until

ON_DISK = "/var/tmp"  # never in memory, as /tmp may be: both sides wait for a disk

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
myhostname = localhost
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:{relay}
mynetworks =
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_data_restrictions = check_client_access static:HOLD
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
pickup unix n - n 60 1 pickup
"""


class Postfix:
    """`port`: where smtpd listens. What it took is written down, durably, and goes out only at release()."""

    def __init__(self, folder: Path, dovecot: Server, relay_port: int) -> None:
        self.folder, self.port = folder, free_ports(1)[0]
        self._config = folder / "config"
        self._config.mkdir()
        folder.chmod(0o755)
        (folder / "queue").mkdir()
        (folder / "data").mkdir(mode=0o700)
        shutil.chown(folder / "data", "postfix")
        main = MAIN.format(
            folder=folder,
            relay=relay_port,
            auth=dovecot.auth_port,
            certificate=dovecot.certificates.certificate,
            key=dovecot.certificates.key,
        )
        (self._config / "main.cf").write_text(main)
        (self._config / "master.cf").write_text(MASTER.format(port=self.port))

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its log, or TimeoutError."""
        command = [_binary("postfix"), "-c", str(self._config), "start-fg"]
        with (self.folder / "log").open("ab") as log:
            self._master = subprocess.Popen(
                [*goes_with_us(), *command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: self._master.poll() is not None or answers(self.port), seconds=20, what="Postfix")
        finally:
            if self._master.poll() is not None:
                raise RuntimeError(f"Postfix does not start: {(self.folder / 'log').read_text()[-1000:]}")

    def stop(self) -> None:
        """Stop it; kill it after ten seconds."""
        self._master.terminate()
        try:
            self._master.wait(10)
        except subprocess.TimeoutExpired:
            self._master.kill()
            self._master.wait()

    def held(self) -> int:
        """How many mails it holds."""
        return sum(path.is_file() for path in (self.folder / "queue/hold").rglob("*"))

    def release(self) -> None:
        """Let go what is held, and have it sent."""
        for command in (("postsuper", "-H", "ALL"), ("postqueue", "-f")):
            name, *rest = command
            subprocess.run([_binary(name), "-c", str(self._config), *rest], check=True, capture_output=True)


def _binary(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if not found:
        raise ServerMissing(f"{name} is missing: apt-get install postfix (its service need not run)")
    return found


@contextmanager
def running_postfix(dovecot: Server, relay_port: int) -> Iterator[Postfix]:
    """Removed at the end. Raises ServerMissing where it cannot be: only root can start one."""
    if os.geteuid():
        raise ServerMissing("Postfix is started by root only: run this figure as root")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="prx-bench-postfix-", dir=ON_DISK))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = Postfix(folder, dovecot, relay_port)
        server.start()
        stack.callback(server.stop)
        yield server
