"""A company's provider that is slow, talks too much, leads elsewhere or speaks without TLS."""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from django.test import Client
from django.urls import reverse

from mailbox.safe_http import FetchRefused, Network, OutgoingRequest, exchange
from people.single_sign_on import client as sign_on_client
from people.single_sign_on import protocol

pytestmark = pytest.mark.django_db


class Odd(ThreadingHTTPServer):
    """Answers each request by `answer`, and counts them."""

    daemon_threads, block_on_close = True, False
    answer: Callable[[BaseHTTPRequestHandler], None]
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client left, as it should."""

    def json(self, content: object) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            body = json.dumps(content).encode()
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        self.answer = answer

    def redirect(self, where: str) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", where)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.answer = answer


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked += 1
        server.answer(self)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def odd(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Odd]:
    server = Odd()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.SSO_ISSUER, settings.OAUTH_ALLOW_HTTP = server.issuer, True
    settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = "id", "s3cret"
    monkeypatch.setattr(sign_on_client, "SECONDS", 1.0)
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def document_of(odd: Odd, authorization: str = "https://login.example/auth") -> dict[str, str]:
    return {"issuer": odd.issuer, "authorization_endpoint": authorization, "token_endpoint": f"{odd.issuer}/token"}


def said(client: Client) -> tuple[int, str]:
    answer = client.get(reverse("sso_begin"))
    return answer.status_code, answer.headers.get("Location") or answer.content.decode()


def test_one_that_drips_is_left_after_the_time_of_one_answer(client: Client, odd: Odd) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not odd.over.wait(0.05):
            handler.wfile.write(b"X: y\r\n")

    odd.answer = drip
    status, page = said(client)
    assert status == 502 and "does not answer" in page


def test_an_answer_without_end_is_not_read(client: Client, odd: Odd) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(50):
            handler.wfile.write(b" " * 65_536)

    odd.answer = flood
    assert said(client)[0] == 502


def test_one_that_leads_in_a_circle_is_left(client: Client, odd: Odd) -> None:
    odd.redirect("/again")
    assert said(client)[0] == 502 and odd.asked == 1 + sign_on_client.MAX_REDIRECTS


@pytest.mark.parametrize("document", [{}, [], "", None, {"issuer": "https://evil.example"}])
def test_a_document_of_nothing_is_refused(client: Client, odd: Odd, document: object) -> None:
    odd.json(document)
    status, page = said(client)
    assert status == 502 and "did not say" in page


@pytest.mark.parametrize("where", ["http://login.example/auth", "javascript:alert(1)", "//login.example/auth", ""])
def test_nobody_is_led_to_a_page_without_tls(
    client: Client, odd: Odd, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(protocol, "schemes", lambda: ("https",))
    odd.json(document_of(odd, where))
    assert said(client)[0] == 502
    odd.json(document_of(odd))
    assert said(client)[1].startswith("https://login.example/auth?")


def test_no_request_goes_out_without_tls_unless_settings_say_so(odd: Odd, settings: Any) -> None:
    settings.OAUTH_ALLOW_HTTP = False
    with sign_on_client.session() as asking, pytest.raises(requests.ConnectionError, match="https"):
        asking.get(odd.issuer)
    assert odd.asked == 0


def test_of_a_hosts_addresses_the_next_is_tried_when_one_does_not_answer(odd: Odd) -> None:
    odd.json({})
    addresses = [ipaddress.ip_address("127.0.0.9"), ipaddress.ip_address("127.0.0.1")]
    network = Network(resolve=lambda *_: addresses, is_allowed=lambda _: True, any_port=True)
    wanted = OutgoingRequest(accept="*/*", user_agent="test", max_bytes=100)
    assert exchange(odd.issuer, wanted, network).status == 200
    refused = Network(resolve=lambda *_: addresses, is_allowed=lambda each: each == addresses[1], any_port=True)
    with pytest.raises(FetchRefused, match="public Internet"):
        exchange(odd.issuer, wanted, refused)


def test_one_that_hangs_leaves_pages_for_whoever_signs_in_with_a_password(
    client: Client, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(sign_on_client, "_places", places)
    monkeypatch.setattr(sign_on_client, "WAIT_SECONDS", 0.01)
    with places:
        status, page = said(client)
        assert status == 502 and "does not answer" in page and odd.asked == 0
    odd.json(document_of(odd))
    assert said(client)[0] == 302
