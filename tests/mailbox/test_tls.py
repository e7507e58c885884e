"""One TLS context for all sessions that trust the same authorities: reading them takes longer than a sign-in."""

from __future__ import annotations

import ssl
import threading

import pytest

from mailbox import tls
from mailbox.endpoints import Endpoint

ENDPOINT = Endpoint("mail.example.test", 465, "tls", "ops", password="secret")


@pytest.fixture(autouse=True)
def nothing_made_yet() -> None:
    tls._tls_context.cache_clear()


def test_sessions_that_begin_at_once_read_the_authorities_once(monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end = threading.Semaphore(0), threading.Event()
    make = ssl.create_default_context

    def slow() -> ssl.SSLContext:
        began.release()
        may_end.wait(10)
        return make()

    monkeypatch.setattr(ssl, "create_default_context", slow)
    found: list[ssl.SSLContext] = []
    threads = [threading.Thread(target=lambda: found.append(tls.tls_context(ENDPOINT))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert began.acquire(timeout=10)
    is_second = began.acquire(timeout=0.2)  # the others have come by then
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert not is_second
    assert len(found) == 4 and len(set(map(id, found))) == 1


def test_another_certificate_makes_another_context() -> None:
    pem = ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(binary_form=True)[0])
    other = Endpoint("mail.example.test", 465, "tls", "ops", password="secret", ca_certificate=pem)
    assert tls.tls_context(ENDPOINT) is not tls.tls_context(other)
    assert tls.tls_context(other) is tls.tls_context(other)
