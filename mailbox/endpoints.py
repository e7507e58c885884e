"""Where a server is and how to sign in to it, as plain data, and the rules for such data. No models, no I/O."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.certificates import noting
from mailbox.lazy_text import Words

# Names in any script (a resolver knows IDNA), and IPv4 and IPv6 addresses.
_HOST = re.compile(r"[\w:](?:[\w.:-]*[\w:.])?")


@dataclass(frozen=True)
class Endpoint:
    """One server with credentials in clear. Exactly one of `password` and `oauth_token` is set."""

    host: str
    port: int
    security: str  # "tls" or "starttls"
    user: str
    password: str | None = field(default=None, repr=False)
    oauth_token: str | None = field(default=None, repr=False)
    ca_certificate: str = field(default="", repr=False)
    public_only: bool = False  # connect to hosts of the public Internet alone

    def secrets(self) -> list[str]:
        """What must never appear in a log, a page or a transcript."""
        return [secret for secret in (self.password, self.oauth_token) if secret]


@dataclass(frozen=True)
class Preset:
    """What is known of a provider; the form is filled from it."""

    key: str
    name: str
    imap_host: str
    imap_port: int
    smtp_host: str
    smtp_port: int
    smtp_security: str
    auth: str  # "password" or "oauth": what the form offers first
    hint: Words


PRESETS = (
    Preset(
        "gmail", "Gmail", "imap.gmail.com", 993, "smtp.gmail.com", 465, "tls", "password",
        _("Use an app password (Google account, Security, 2-Step Verification, App passwords) or an OAuth access "
        "token."),
    ),
    Preset(
        "outlook", "Outlook / Office 365", "outlook.office365.com", 993, "smtp.office365.com", 587, "starttls", "oauth",
        _("Microsoft accepts only OAuth (XOAUTH2): paste an access token."),
    ),
    Preset(
        "yahoo", "Yahoo", "imap.mail.yahoo.com", 993, "smtp.mail.yahoo.com", 465, "tls", "password",
        _("Use an app password (Account security, Generate app password)."),
    ),
    Preset(
        "fastmail", "Fastmail", "imap.fastmail.com", 993, "smtp.fastmail.com", 465, "tls", "password",
        _("Use an app password (Settings, Privacy & Security, Manage app passwords)."),
    ),
    Preset(
        "protonmail", "ProtonMail Bridge", "127.0.0.1", 1143, "127.0.0.1", 1025, "starttls", "password",
        _("Set the Bridge's IMAP connection to SSL, export its certificate and paste it below. The password is the one "
        "the Bridge shows; its SMTP port is on the same page (1025 unless changed)."),
    ),
)  # fmt: skip


# Submission servers that put what they send into the Sent folder: a copy of ours would be a second one.
_KEEPING_COPIES = frozenset({"smtp.gmail.com", "smtp.googlemail.com", "smtp.office365.com", "smtp-mail.outlook.com"})


def keeps_sent_copy(smtp_host: str) -> bool:
    """Whether mail sent through this server stands in the account's Sent folder without anybody's doing."""
    return smtp_host.strip().lower().rstrip(".") in _KEEPING_COPIES


# IANA's registry, and 2525, which many providers offer beside.
MAIL_PORTS = {"imap": (993,), "smtp": (25, 465, 587, 2525)}


def default_smtp_security(port: int) -> str:
    """TLS from the first byte on 465 (RFC 8314), STARTTLS on every other port."""
    return "tls" if port == 465 else "starttls"


def host_problem(host: str) -> str | None:
    """Say what is wrong with a host name or address, or None."""
    if not host.strip():
        return gettext("Give the server's host name.")
    if host.count(":") == 1:
        return gettext("Give only the host's name here, such as imap.example.com; its port has a field of its own.")
    if not _HOST.fullmatch(host):
        return gettext("A host name has no spaces, slashes or @; give only the name, such as imap.example.com.")
    return None


def secret_problem(secret: str) -> str | None:
    """Say what is wrong with a password or token, or None. A line break in LOGIN would be a command of its own."""
    if any(ord(character) < 32 or ord(character) == 127 for character in secret):
        return gettext("A password or token has no line breaks or control characters: copy it again.")
    return None


def pem_problem(pem: str) -> str | None:
    """Say why the text is not a list of CA certificates in PEM, or None."""
    if "PRIVATE KEY" in pem:
        return gettext("This holds a private key. Paste only the certificate.")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError, TypeError):  # TypeError: characters beyond ASCII
        return gettext("This is not a certificate in PEM: it starts with -----BEGIN CERTIFICATE-----.")
    return None


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """A client context that verifies the certificate and the host name, trusting the extra CA beside the system's.

    Shared by connections and threads: reading the system's authorities takes longer than a sign-in. It is made anew
    each hour, as these authorities may have been renewed.
    """
    with _making:  # several sessions that begin at once wait for one
        return _tls_context(endpoint.ca_certificate, int(time.monotonic() // 3600))


_making = threading.Lock()


@lru_cache(maxsize=64)
def _tls_context(ca_certificate: str, _hour: int) -> ssl.SSLContext:
    context = noting(ssl.create_default_context())
    if ca_certificate:
        context.load_verify_locations(cadata=ca_certificate)
    return context


def xoauth2(user: str, token: str) -> str:
    """The initial client response of SASL XOAUTH2, before base64 (Google, "XOAUTH2 Mechanism")."""
    return f"user={user}\x01auth=Bearer {token}\x01\x01"


def oauthbearer(user: str, token: str, host: str, port: int) -> str:
    """The initial client response of SASL OAUTHBEARER, before base64 (RFC 7628 3.1; the name by RFC 5801 4)."""
    name = user.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"


def token_mechanism(offered: Collection[str]) -> str:
    """Which SASL mechanism carries the token: XOAUTH2, or OAUTHBEARER where only that is offered."""
    names = {name.upper() for name in offered}
    return "OAUTHBEARER" if "OAUTHBEARER" in names and "XOAUTH2" not in names else "XOAUTH2"


def token_response(mechanism: str, endpoint: Endpoint) -> str:
    """The initial client response of this mechanism with the endpoint's token, before base64."""
    token = endpoint.oauth_token or ""
    if mechanism == "OAUTHBEARER":
        return oauthbearer(endpoint.user, token, endpoint.host, endpoint.port)
    return xoauth2(endpoint.user, token)


# What the client answers to the challenge with which a refusal begins, before base64: nothing (Google, "XOAUTH2
# Mechanism"), or one control-A (RFC 7628 3.2.3).
REFUSAL_ANSWERS = {"XOAUTH2": "", "OAUTHBEARER": "\x01"}
