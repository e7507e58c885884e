"""Fetching a remote image: from the public Internet only, once resolved, within bounds, and nothing but an image."""

from __future__ import annotations

import gzip
import http.server
import io
import ipaddress
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from mailbox.pictures.image_download import (
    MAX_BYTES,
    OUTSIDE,
    USER_AGENT,
    ImageRefused,
    Network,
    checked_type,
    fetch,
    is_public,
)
from tests.servers.certificates import Certificates

LOOPBACK = ipaddress.ip_address("127.0.0.1")


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    output = io.BytesIO()
    Image.new("RGB", size, "red").save(output, kind)
    return output.getvalue()


class ImageServer:
    """A real HTTP server that answers each path as a test wrote it, and keeps what it was asked."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.answers: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        owner = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append((self.path, dict(self.headers)))
                owner.answers[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that leaves is what some tests are about

        self.server = Server(("127.0.0.1", 0), Answer)
        self.port = self.server.server_address[1]
        if certificates:
            self.server.socket = certificates.server_context().wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def says(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in {"Content_Length": str(len(body)), **headers}.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(body)

        self.answers[path] = answer

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[ImageServer]:
    started = ImageServer()
    yield started
    started.stop()


def inside(server: ImageServer, **more: object) -> Network:
    """A network in which every name is this machine, and this machine may be asked."""
    options = {
        "resolve": lambda host, port: [LOOPBACK],
        "is_allowed": lambda address: True,
        "ports": lambda scheme: server.port,
        "seconds": 5.0,
    }
    return Network(**(options | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("2002:7f00:1::1", "2001:0:4136:e378::1"),
    ],
)
def test_what_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_hosts_of_the_public_internet_are_asked(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("http://127.0.0.1/a.png", "http://[::1]/a.png", "http://localhost/a.png", "http://0x7f.1/a.png"),
        *("http://2130706433/a.png", "http://0177.0.0.1/a.png", "http://[::ffff:127.0.0.1]/a.png", "http://127.1/"),
        *("ftp://example.com/a.png", "file:///etc/passwd", "gopher://example.com/", "javascript:1", "//x", ""),
        *("http://example.com:22/a.png", "https://example.com:8443/", "http://user:word@example.com/a.png"),
        *("http:///a.png", "http://[::1/a.png", "http://example.com:99999/", "http://" + "a" * 5000),
        "http://no-such-name.invalid/a.png",
    ],
)
def test_addresses_that_lead_inward_or_nowhere_are_refused(address: str) -> None:
    with pytest.raises(ImageRefused):
        fetch(address, Network(seconds=3.0))


def test_an_image_is_fetched_and_nothing_is_told_of_the_reader(server: ImageServer) -> None:
    server.says("/a.png?id=1", picture())
    image = fetch("http://images.example/a.png?id=1#part", inside(server))
    assert (image.content_type, image.content) == ("image/png", picture())
    headers = server.asked[0][1]
    assert headers.pop("Host") == "images.example"
    assert headers == {"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}


def test_the_name_is_resolved_once_and_that_address_is_connected_to(server: ImageServer) -> None:
    """DNS rebinding: a name that is public when it is judged and private when it is connected to."""
    server.says("/a.png", picture())
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        asked.append(host)
        return [LOOPBACK]

    fetch("http://rebind.example/a.png", inside(server, resolve=resolve))
    assert asked == ["rebind.example"]


def test_a_host_with_one_private_address_among_public_ones_is_not_asked(server: ImageServer) -> None:
    both = [ipaddress.ip_address("8.8.8.8"), LOOPBACK]
    with pytest.raises(ImageRefused, match="not on the public Internet"):
        fetch("http://mixed.example/a.png", inside(server, resolve=lambda *_: both, is_allowed=is_public))
    assert server.asked == []


def test_a_redirect_is_judged_again_and_followed_three_times_at_most(server: ImageServer) -> None:
    server.says("/a.png", picture())
    for step in range(1, 5):
        server.says(f"/{step}", b"", 302, Location=f"/{step - 1}" if step > 1 else "/a.png")
    assert fetch("http://x.example/3", inside(server)).content == picture()
    with pytest.raises(ImageRefused, match="redirects too often"):
        fetch("http://x.example/4", inside(server))
    for target in ("file:///etc/passwd", "http://x.example:22/", "ftp://x.example/", ""):
        server.says("/away", b"", 302, Location=target)
        with pytest.raises(ImageRefused):
            fetch("http://x.example/away", inside(server))


def test_a_redirect_to_a_private_host_is_not_followed(server: ImageServer) -> None:
    server.says("/out", b"", 302, Location="http://inside.example/secret")
    server.says("/secret", picture())
    hosts = {"outside.example": LOOPBACK, "inside.example": ipaddress.ip_address("127.0.0.2")}
    network = inside(server, resolve=lambda host, port: [hosts[host]], is_allowed=lambda address: address == LOOPBACK)
    with pytest.raises(ImageRefused, match="not on the public Internet"):
        fetch("http://outside.example/out", network)
    assert [path for path, _ in server.asked] == ["/out"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>hello</html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        b"%PDF-1.4",
        b"\x89PNG\r\n\x1a\n",
        picture("BMP"),
        picture("TIFF"),
        picture("ICO", (16, 16)),
    ],
)
def test_what_is_no_raster_image_of_the_web_is_refused_whatever_it_is_called(
    server: ImageServer, content: bytes
) -> None:
    server.says("/a.png", content, Content_Type="image/png")
    with pytest.raises(ImageRefused, match="no PNG, JPEG, GIF or WebP"):
        fetch("http://x.example/a.png", inside(server))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_has_the_type_of_its_bytes(kind: str) -> None:
    assert checked_type(picture(kind)) == f"image/{kind.lower()}"


def test_an_image_of_too_many_pixels_is_refused_by_its_head() -> None:
    with pytest.raises(ImageRefused, match="too many pixels"):
        checked_type(picture("PNG", (8000, 4000)))


def test_a_body_without_end_is_cut(server: ImageServer) -> None:
    def flood(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"x" * 65_536)

    server.answers["/flood"] = flood
    with pytest.raises(ImageRefused, match="larger than 2 MB"):
        fetch("http://x.example/flood", inside(server))


def test_a_compressed_answer_is_refused_before_it_could_unfold(server: ImageServer) -> None:
    bomb = gzip.compress(b"\0" * 10 * MAX_BYTES)
    server.says("/bomb", bomb, Content_Encoding="gzip")
    with pytest.raises(ImageRefused, match="compressed"):
        fetch("http://x.example/bomb", inside(server))


def test_half_an_image_is_none(server: ImageServer) -> None:
    server.says("/half", picture(), Content_Length=str(len(picture()) + 100))
    with pytest.raises(ImageRefused):
        fetch("http://x.example/half", inside(server, seconds=1.0))


@pytest.mark.parametrize("status", [204, 404, 500, 206])
def test_an_answer_that_is_no_200_is_none(server: ImageServer, status: int) -> None:
    server.says("/a", b"" if status == 204 else picture(), status)
    with pytest.raises(ImageRefused, match=str(status)):
        fetch("http://x.example/a", inside(server))


@pytest.mark.parametrize("part", ["header", "body"])
def test_a_server_that_drips_is_left_at_the_deadline(server: ImageServer, part: str) -> None:
    """Each byte resets the socket's time-out: only a deadline ends this."""

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b"X: "))
        request.wfile.flush()
        for _ in range(200):
            request.wfile.write(b"x")
            time.sleep(0.05)

    server.answers["/drip"] = drip
    with pytest.raises(ImageRefused, match="took too long"):
        fetch("http://x.example/drip", inside(server, seconds=0.7))


def test_a_server_that_speaks_no_http_is_left() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")

    threading.Thread(target=speak, daemon=True).start()
    network = Network(lambda *_: [LOOPBACK], lambda _: True, lambda _: listener.getsockname()[1], seconds=3.0)
    with listener, pytest.raises(ImageRefused, match="spoke no HTTP"):
        fetch("http://x.example/", network)


def test_over_https_the_certificate_must_be_the_hosts(certificates: Certificates) -> None:
    server = ImageServer(certificates)
    try:
        server.says("/a.png", picture())
        trusting = inside(server, context=certificates.client_context)
        assert fetch("https://localhost/a.png", trusting).content == picture()
        for host, network in (("other.example", trusting), ("localhost", inside(server))):
            with pytest.raises(ImageRefused, match="certificate"):
                fetch(f"https://{host}/a.png", network)
    finally:
        server.stop()


def test_what_is_used_outside_tests_lets_nothing_private_through() -> None:
    assert OUTSIDE.is_allowed is is_public
    assert (OUTSIDE.ports("http"), OUTSIDE.ports("https")) == (80, 443)
    context = OUTSIDE.context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
