"""A real S3 server (moto's, in memory, on a port), which can be told to fail at given requests."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.servers.ports import free_ports

BUCKET = "mail"
AT_RANDOM = ("", "", "", "", "slow", "slow", "busy", "reset", "unanswered", "cut", "dead")
DEAD_REQUESTS = 12  # that a dead server resets, at most
KEYS_REFUSED = {
    "revoked": ("403 Forbidden", "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist."),
    "denied": ("403 Forbidden", "AccessDenied", "Access Denied"),
    "expired": ("400 Bad Request", "ExpiredToken", "The provided token has expired."),
}
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST


@dataclass
class S3Server:
    """`faults`: what befalls the next requests, one each, `always` what befalls each: "" for nothing, "busy" (503),
    "reset" (before it is looked at), "unanswered" (done, and then the connection is reset), "cut" (in the middle of the
    answer), "silent" (no answer until `released`), "slow" (an answer after a while), one of KEYS_REFUSED. `chance`: of
    them at random, and it is dead for some requests on end."""

    port: int = 0
    faults: list[str] = field(default_factory=list)
    always: str = ""
    asked: list[str] = field(default_factory=list)  # "GET /mail/name bytes=0-3"
    released: threading.Event = field(default_factory=threading.Event)
    chance: random.Random | None = None

    def start(self) -> S3Server:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log(self, *_: Any) -> None: ...

        moto = DomainDispatcherApplication(create_backend_app)
        (self.port,) = free_ports(1)
        self._server = make_server("127.0.0.1", self.port, self._failing(moto), threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def options(self) -> dict[str, Any]:
        """Of S3RawStorage."""
        return {
            "bucket_name": BUCKET,
            "location": "raw",
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "region_name": "us-east-1",
            "access_key": "a-key",
            "secret_key": "a-secret",
        }

    def clear(self, client: Any) -> None:
        """An empty bucket and no fault."""
        self.faults, self.always, self.chance = [], "", None
        self.released.clear()
        if BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
        for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=each["Key"])
        self.asked = []

    def _next_fault(self) -> str:
        if self.faults or self.chance is None:
            return self.faults.pop(0) if self.faults else self.always
        fault = self.chance.choice(AT_RANDOM)
        if fault == "dead":
            self.faults = ["reset"] * self.chance.randrange(1, DEAD_REQUESTS)
        return "reset" if fault == "dead" else fault

    def _failing(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            range_ = environ.get("HTTP_RANGE", "")
            self.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {range_}".strip())
            fault = self._next_fault()
            if fault == "slow":
                self.released.wait(0.05)
            if fault == "busy":
                start("503 Slow Down", [("Content-Type", "application/xml"), ("Connection", "close")])
                return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
            if fault in KEYS_REFUSED:
                status, code, words = KEYS_REFUSED[fault]
                start(status, [("Content-Type", "application/xml"), ("Connection", "close")])
                is_head = environ["REQUEST_METHOD"] == "HEAD"  # which has no body, so neither code nor words
                return [] if is_head else [f"<Error><Code>{code}</Code><Message>{words}</Message></Error>".encode()]
            if fault == "silent":
                self.released.wait(30)
            if fault in ("silent", "reset"):
                return _reset(environ)
            said: list[Any] = []
            body = b"".join(app(environ, lambda *what: said.extend(what[:2])))
            if fault == "unanswered":
                return _reset(environ)
            start(*said)
            return _cut(environ, body) if fault == "cut" else [body]

        return answer


def _reset(environ: dict[str, Any]) -> Iterable[bytes]:
    connection: socket.socket = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def _cut(environ: dict[str, Any], body: bytes) -> Iterable[bytes]:
    yield body[: len(body) // 2]
    _reset(environ)
