"""Submission in a thread of the tests, and a client of it."""

from __future__ import annotations

import smtplib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from api import tokens
from api.models import Scope
from api.submission import server
from api.submission.configuration import Configuration
from api.submission.limits import SubmissionLimits
from api.tokens import Terms
from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.models import OutboxMessage
from tests.rows import NOWHERE
from tests.servers.certificates import Certificates

HEADER = b"From: Ops <ops@example.com>\r\nTo: ann@example.com\r\nSubject: Hi\r\nMessage-ID: <1@app.example.com>\r\n"
MAIL = HEADER + b"\r\nDear Ann\r\n"
OPS = "ops@example.com"


class Submission:
    """The server in a thread of this process; `starttls` and `tls` are its ports."""

    def __init__(
        self,
        certificates: Certificates,
        limits: SubmissionLimits | None = None,
        max_bytes: int = 100_000,
        port: int = 0,
    ) -> None:
        self.context, self.limits = certificates.client_context(), limits or SubmissionLimits()
        configuration = Configuration(
            ("127.0.0.1", port),
            ("127.0.0.1", 0),
            certificates.certificate,
            certificates.key,
            max_bytes,
            "mx.example.com",
        )
        self._stop, self._ready = threading.Event(), threading.Event()
        given = (configuration, self._stop.is_set, self._listening, self.limits)
        self._thread = threading.Thread(target=server.run, args=given, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def _listening(self, ports: list[int]) -> None:
        self.starttls, self.tls = ports
        self._ready.set()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def connect(self, secret: str = "", login: str = OPS) -> smtplib.SMTP:
        """Signed in by STARTTLS, when there is a secret."""
        client = smtplib.SMTP("localhost", self.starttls, timeout=20)
        client.starttls(context=self.context)
        client.ehlo()
        if secret:
            client.login(login, secret)
        return client


@pytest.fixture
def submission(certificates: Certificates, transactional_db: None) -> Iterator[Submission]:
    running = Submission(certificates)
    yield running
    running.stop()


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    return make_account(OPS, **NOWHERE)


def token_of(user: User, **terms: Any) -> str:
    given: dict[str, Any] = {
        "name": "billing",
        "scopes": [Scope.SEND],
        "expires_at": timezone.now() + timedelta(days=1),
    }
    return tokens.make(user, Terms(**(given | terms)), by=user)[1]


@pytest.fixture
def secret(make_user: Callable[..., User]) -> str:
    return token_of(make_user("operator"))


def refusal(act: Callable[[], object]) -> str:
    """The reply by which the server refuses."""
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        act()
    return f"{refused.value.smtp_code} {refused.value.smtp_error.decode()}"


def send(client: smtplib.SMTP, content: bytes = MAIL, to: tuple[str, ...] = ("ann@example.com",)) -> str:
    """The reply to the end of the mail, or to what was refused before it."""
    for command in (f"MAIL FROM:<{OPS}>", *(f"RCPT TO:<{each}>" for each in to)):
        code, words = client.docmd(command)
        if code != 250:
            return f"{code} {words.decode()}"
    code, words = client.data(content)
    return f"{code} {words.decode()}"


def frozen(row: OutboxMessage) -> bytes:
    return raw_store.open_raw(row.mime_digest)
