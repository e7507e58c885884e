"""A mail server with its credentials, as plain data, and the validation of such data. No models, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from django.utils.translation import gettext

# Host names in any script (the resolver applies IDNA), and IPv4 and IPv6 addresses.
_HOST = re.compile(r"[\w:](?:[\w.:-]*[\w:.])?")


@dataclass(frozen=True)
class Endpoint:
    """One server and its decrypted credentials. Exactly one of `password` and `oauth_token` is set."""

    host: str
    port: int
    security: str  # "tls" or "starttls"
    user: str
    password: str | None = field(default=None, repr=False)
    oauth_token: str | None = field(default=None, repr=False)
    ca_certificate: str = field(default="", repr=False)
    public_only: bool = False  # connect to hosts of the public Internet alone

    def secrets(self) -> list[str]:
        """The secrets, which must never appear in a log, a page or a transcript."""
        return [secret for secret in (self.password, self.oauth_token) if secret]


# From IANA's registry of ports, and 2525, which many providers offer as well.
MAIL_PORTS = {"imap": (993,), "smtp": (25, 465, 587, 2525)}


def default_smtp_security(port: int) -> str:
    """Implicit TLS ("tls") on port 465 (RFC 8314), "starttls" on every other port."""
    return "tls" if port == 465 else "starttls"


def host_problem(host: str) -> str | None:
    """A sentence that says what is wrong with a host name or address; None when nothing is."""
    if not host.strip():
        return gettext("Give the server's host name.")
    if host.count(":") == 1:
        return gettext("Give only the host's name here, such as imap.example.com; its port has a field of its own.")
    if not _HOST.fullmatch(host):
        return gettext("A host name has no spaces, slashes or @; give only the name, such as imap.example.com.")
    return None


def secret_problem(secret: str) -> str | None:
    """A sentence that says what is wrong with a password or token, or None. A line break would end a LOGIN command."""
    if any(ord(character) < 32 or ord(character) == 127 for character in secret):
        return gettext("A password or token has no line breaks or control characters: copy it again.")
    return None
