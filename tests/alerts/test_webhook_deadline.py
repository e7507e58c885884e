"""A webhook's server: one that is never done holds no worker, and one is reached at whichever address answers."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from alerts import http_post
from tests.alerts.telling import Receiver, receiver

__all__ = ["receiver"]


@pytest.fixture
def dripping() -> Iterator[int]:
    """The port of a server that answers a header a byte at a time, for as long as it is listened to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not ended.wait(0.02):
                        connection.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        ended.set()
        thread.join(5)


def test_a_server_that_drips_its_answer_is_left_at_the_deadline(dripping: int, settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOW_HTTP = settings.WEBHOOK_ALLOW_PRIVATE = True
    begun = time.monotonic()
    with pytest.raises(http_post.WebhookFailed, match="took too long") as refused:
        http_post.post(f"http://127.0.0.1:{dripping}/", b"{}", {}, http_post.WebhookNetwork(seconds=5, in_all=0.4))
    assert time.monotonic() - begun < 4
    assert not refused.value.is_final  # it is tried again later


def test_a_receiver_is_reached_at_its_second_address_when_the_first_one_does_not_answer(
    receiver: Receiver,
) -> None:
    v6, v4 = ipaddress.ip_address("::1"), ipaddress.ip_address("127.0.0.1")  # the receiver listens on IPv4 alone
    network = http_post.WebhookNetwork(resolve=lambda _host, _port: [v6, v4])
    assert http_post.post(receiver.url, b"{}", {}, network) == "The server answered 204."
    assert [body for _headers, body in receiver.asked] == [b"{}"]
