"""Tests each step of a connection to a mail server: DNS, TCP, TLS or STARTTLS, sign-in."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings

from mailbox import network, public_hosts
from mailbox.accounts import troubleshooting
from mailbox.credentials import DecryptionFailed
from mailbox.endpoints import Endpoint
from mailbox.models import Account, ConnectionTest, Transport
from mailbox.tls import tls_context
from outbox import connection_test
from outbox.smtp.connection import SmtpFailure


@dataclass(frozen=True)
class ConnectionStep:
    """The result of one step. words: what was found, or the server's words. advice: what to do, "" on success."""

    side: str  # "imap" or "smtp"
    step: str
    ok: bool
    words: str
    seconds: float
    advice: str = ""


def examine(account: Account) -> Iterator[ConnectionStep]:
    """Test IMAP and SMTP of the account. A failed step ends that server's steps, except that the sign-in is always
    tried, since its error says most."""
    for transport in (account.imap, account.smtp):
        yield from _reach(account, transport)
    began = time.monotonic()
    test = ConnectionTest.objects.create(account=account)
    connection_test.run(test.pk)
    test.refresh_from_db()
    took = time.monotonic() - began
    for side in ("imap", "smtp"):
        ok, words, code = (getattr(test, f"{side}_{name}") for name in ("ok", "reply", "code"))
        yield ConnectionStep(side, "sign in", bool(ok), words, took, "" if ok else troubleshooting.about(code, words))


def _reach(account: Account, transport: Transport) -> Iterator[ConnectionStep]:
    try:
        endpoint = transport.endpoint(account.ca_certificate)
    except DecryptionFailed as error:
        yield ConnectionStep(transport.kind, "secret", False, str(error), 0, troubleshooting.about("key", str(error)))
        return
    steps: list[tuple[str, Callable[[Endpoint], str]]] = [("look up the name", _resolve), ("connect", _connect)]
    steps.append(("TLS", _handshake) if endpoint.security == "tls" else ("STARTTLS", _starttls))
    for name, act in steps:
        began, code = time.monotonic(), "network"
        try:
            words, ok = act(endpoint), True
        except OSError as error:  # network and TLS errors
            words, ok = str(error) or type(error).__name__, False
        except SmtpFailure as failure:
            words, ok, code = failure.fault.reply, False, connection_test.code_of(failure.fault)
        advice = "" if ok else troubleshooting.about(code, words)
        yield ConnectionStep(transport.kind, name, ok, words, time.monotonic() - began, advice)
        if not ok:
            return


def _resolve(endpoint: Endpoint) -> str:
    network.demand()
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return ", ".join(dict.fromkeys(str(each[4][0]) for each in found))


def _connect(endpoint: Endpoint) -> str:
    with _connected(endpoint) as connection:
        return f"connected to {connection.getpeername()[0]}, port {endpoint.port}"


def _handshake(endpoint: Endpoint) -> str:
    with (
        _connected(endpoint) as connection,
        tls_context(endpoint).wrap_socket(connection, server_hostname=endpoint.host) as secured,
    ):
        return f"{secured.version()}, the certificate is good"


def _starttls(endpoint: Endpoint) -> str:
    return f"{connection_test.starttls_words(endpoint)}, the certificate is good"


def _connected(endpoint: Endpoint) -> socket.socket:
    seconds = settings.CONNECT_TIMEOUT_SECONDS
    return public_hosts.connect(endpoint.host, endpoint.port, seconds, public_only=endpoint.public_only)
