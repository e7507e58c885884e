"""Reads the servers from Mozilla's autoconfiguration document (config-v1.1.xml), which is untrusted. Pure.

A document type declaration is refused: without one there are no entities to expand and no external resources to load.
The caller limits the document's size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from mailbox.autoconfig.servers import ServerSettings, tidy_host, tidy_user

MAX_DEPTH = 12
MAX_SERVERS = 20
_SECURITY = {"ssl": "tls", "tls": "tls", "starttls": "starttls"}
_KINDS = {("incomingServer", "imap"): "imap", ("outgoingServer", "smtp"): "smtp"}


class ConfigInvalid(Exception):
    """The document is not a valid configuration, or breaks a limit; str() is a sentence."""


@dataclass
class _ServerElement:
    """A server element that is being read."""

    kind: str
    texts: dict[str, str] = field(default_factory=dict)
    authentication: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self) -> None:
        self.path: list[str] = []
        self.text = ""
        self.being: _ServerElement | None = None
        self.servers: list[_ServerElement] = []
        self.is_config = False

    def doctype(self, *_: object) -> None:
        raise ConfigInvalid("The document has a document type, which none of these needs; it was not read.")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.path.append(name)
        if len(self.path) > MAX_DEPTH:
            raise ConfigInvalid("The document is nested too deeply.")
        self.text = ""
        if self.path == ["clientConfig"]:
            self.is_config = True
        kind = _KINDS.get((name, attributes.get("type", "").lower()))
        if self.path[:2] == ["clientConfig", "emailProvider"] and len(self.path) == 3 and kind:
            self.being = _ServerElement(kind)

    def characters(self, text: str) -> None:
        self.text += text

    def end(self, name: str) -> None:
        depth = len(self.path)
        self.path.pop()
        if self.being is not None and depth == 4:
            if name == "authentication":
                self.being.authentication.append(self.text.strip().lower())
            else:
                self.being.texts.setdefault(name, self.text.strip())
        elif self.being is not None and depth == 3:
            if len(self.servers) < MAX_SERVERS:
                self.servers.append(self.being)
            self.being = None
        self.text = ""


def read(document: bytes, email: str) -> list[ServerSettings]:
    """The IMAP and SMTP servers in the document's order, whatever their security. Raises ConfigInvalid."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # e.g. an unknown encoding, a NUL
        raise ConfigInvalid("The document is no well-formed XML.") from error
    if not reader.is_config:
        raise ConfigInvalid("The document is no clientConfig.")
    return [_server(each, email) for each in reader.servers]


def _server(being: _ServerElement, email: str) -> ServerSettings:
    texts = being.texts
    port = texts.get("port", "")
    wants = being.authentication
    only_oauth = "oauth2" in wants and not {"password-cleartext", "plain"} & set(wants)
    return ServerSettings(
        kind=being.kind,
        host=tidy_host(_filled(texts.get("hostname", ""), email)),
        port=int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0,
        security=_SECURITY.get(texts.get("socketType", "").lower(), "plain"),
        user=tidy_user(_filled(texts.get("username", ""), email), email),
        auth="oauth" if only_oauth else "password",
    )


def _filled(text: str, email: str) -> str:
    local, _, domain = email.rpartition("@")
    for name, value in (("%EMAILADDRESS%", email), ("%EMAILLOCALPART%", local), ("%EMAILDOMAIN%", domain)):
        text = text.replace(name, value)
    return text
