"""An S3 server and a relay that takes its time, each in a process of its own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from benchmarks.frame import ROOT, Void, goes_with_us
from tests.servers import MAILBOX_PASSWORD
from tests.servers.certificates import make_certificates
from tests.servers.ports import answers, free_ports, wait_until

BUCKET = "mail"
SECONDS_A_MAIL = 0.05
LOOK_EVERY = 0.005


@contextmanager
def s3(folder: Path) -> Iterator[dict[str, str]]:
    """moto's server, whose objects are in memory; what an installation's environment says of it."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [*goes_with_us(), sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port), seconds=60, what="the S3 server")
        keys = {"aws_access_key_id": "a-key", "aws_secret_access_key": "a-secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket=BUCKET)
        yield {
            "PRX_EMAIL_RAW_STORAGE": "s3",
            "PRX_EMAIL_S3_BUCKET": BUCKET,
            "PRX_EMAIL_S3_ENDPOINT": address,
            "AWS_REGION": keys["region_name"],
            "AWS_ACCESS_KEY_ID": keys["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"],
        }
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class SlowRelay:
    """STARTTLS and AUTH, then each mail is answered after SECONDS_A_MAIL; many at once, each in its own session."""

    port: int
    ca_pem: str
    subjects: Path  # of the mails that it took, a line each

    def size(self) -> int:
        """The size in bytes of the file of subjects that it has taken: the start of the next run."""
        return self.subjects.stat().st_size

    def wait_for(self, count: int, start: int, seconds: float) -> float:
        """The time (time.monotonic) at which so many mails had been taken since `start`; raises Void."""
        end = time.monotonic() + seconds
        while (found := len(self._since(start))) < count:
            if time.monotonic() > end:
                raise Void(f"the relay took {found} of {count} mails in {seconds:g} s")
            time.sleep(LOOK_EVERY)
        return time.monotonic()

    def check(self, subjects: list[str], start: int) -> None:
        """Every mail since `start` exactly once, or the figure is void."""
        taken, wanted = Counter(self._since(start)), Counter(subjects)
        if taken != wanted:
            missing, extra = (wanted - taken).total(), (taken - wanted).total()
            raise Void(f"{missing} mails never reached the relay, {extra} more than once")

    def _since(self, start: int) -> list[str]:
        with self.subjects.open("rb") as file:
            file.seek(start)
            return file.read().decode().splitlines()


@contextmanager
def slow_relay(folder: Path) -> Iterator[SlowRelay]:
    """A running relay; it is killed at the end of the block. Raises TimeoutError if it does not start in 30 s."""
    (port,) = free_ports(1)
    certificates, subjects = make_certificates(folder), folder / "relayed"
    subjects.touch()
    files = [str(certificates.certificate), str(certificates.key), str(subjects)]
    command = [*goes_with_us(), sys.executable, "-m", "benchmarks.machines_suite.servers", str(port), *files]
    with (folder / "relay.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port), seconds=30, what="the relay")
        yield SlowRelay(port, certificates.ca_pem, subjects)
    finally:
        process.kill()
        process.wait()


class _Taking:
    def __init__(self, subjects: Path) -> None:
        self._file = subjects.open("ab", buffering=0)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(SECONDS_A_MAIL)
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        if subject := re.search(rb"(?m)^Subject: (.+?)\r?$", content):
            self._file.write(subject[1] + b"\n")
        return "250 2.0.0 Taken"


def _knows(_server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
    return AuthResult(success=getattr(data, "password", b"") == MAILBOX_PASSWORD.encode())


def _serve(port: str, certificate: str, key: str, subjects: str) -> None:
    import ssl

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    controller = Controller(
        _Taking(Path(subjects)), hostname="127.0.0.1", port=int(port), tls_context=tls, require_starttls=True,
        auth_required=True, authenticator=_knows, data_size_limit=50_000_000,
    )  # fmt: skip
    controller.start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
