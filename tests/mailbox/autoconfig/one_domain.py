"""A domain on loopback with real servers: HTTPS, DNS, and whatever else a test lets it have."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailbox import safe_http
from mailbox.autoconfig.discover import NetworkAccess
from mailbox.autoconfig.dns import Dns
from mailbox.autoconfig.servers import Discovery, SettingsSource
from mailbox.safe_http import FetchRefused, Network
from tests.mailbox.autoconfig.test_servers_found import config, server_xml
from tests.mailbox.pictures.test_image_download import ImageServer
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.dns import DnsServer

LOOPBACK = ipaddress.ip_address("127.0.0.1")
EMAIL, DOMAIN = "ann@example.test", "example.test"
NAMES = tuple(f"{name}.{DOMAIN}" for name in ("autoconfig", "imap", "mail", "smtp"))
CONFIG = f"/mail/config-v1.1.xml?emailaddress=ann%40{DOMAIN}"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"


class Domain:
    """A domain with everything it may publish; what a test does not set up is not there."""

    def __init__(self, folder: Path) -> None:
        self.certificates: Certificates = make_certificates(folder, names=(DOMAIN, *NAMES, "localhost"))
        self.web = ImageServer(self.certificates)
        self.dns = DnsServer()
        self.hosts = {DOMAIN, *NAMES}
        self.private: set[str] = set()
        self.ports: dict[int, int] = {}
        self.connected: list[str] = []
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused

    @property
    def is_asked_on_the_web(self) -> list[str]:
        return [path for path, _headers in self.web.asked]

    def publishes(self, document: bytes, path: str = CONFIG, **headers: str) -> None:
        self.web.says(path, document, **headers)

    def reach(self, **more: Any) -> NetworkAccess:
        def resolve(host: str, port: int) -> list[safe_http.Address]:
            self.connected.append(f"{host}:{port}")
            if host not in self.hosts | self.private:
                raise FetchRefused("The host's name is not known.")
            return [ipaddress.ip_address("10.0.0.1") if host in self.private else LOOPBACK]

        network = Network(
            resolve=resolve,
            is_allowed=lambda address: address == LOOPBACK,
            ports=lambda scheme: self.web.port,
            context=self.certificates.client_context,
            seconds=3.0,
        )
        closed = self._closed.getsockname()[1]
        options = {
            "network": network,
            "dns": Dns(self.dns.resolver(), 1.0),
            "port_of": lambda port: self.ports.get(port, closed),
        }
        return NetworkAccess(**(options | more))

    def stop(self) -> None:
        self.web.stop()
        self.dns.stop()
        self._closed.close()


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[Domain]:
    made = Domain(tmp_path)
    made.web.answers.update({path: lambda request: request.send_error(404) for path in (CONFIG, WELL_KNOWN)})
    yield made
    made.stop()


def where(found: Discovery) -> dict[str, tuple[str, int, str, SettingsSource]]:
    """kind -> (host, port, security, source) of what was taken."""
    taken = [each for each in (found.imap, found.smtp) if each]
    return {each.kind: (each.host, each.port, each.security, found.sources[each.kind]) for each in taken}


BOTH = config(server_xml(host=f"imap.{DOMAIN}"), server_xml("smtp", f"smtp.{DOMAIN}", "587", "STARTTLS"))
