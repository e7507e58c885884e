"""Parses replies of SMTP servers, and removes secrets from them. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailbox.endpoints import Endpoint
from mailbox.sasl import oauthbearer, xoauth2

MAX_REPLY_CHARACTERS = 2000
MAX_REPLY_BYTES = 64 * 1024
MAX_REPLY_LINES = 200
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\ud800-\udfff]")


@dataclass(frozen=True)
class Reply:
    """A server's reply: the code, and the text of all lines without codes."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


def parse_line(line: bytes) -> tuple[int, bool, str] | None:
    """(code, whether more lines follow, text) of one reply line without its CRLF (RFC 5321 4.2.1); None if it is no
    reply line."""
    found = _LINE.fullmatch(line)
    return (int(found[1]), found[2] == b"-", (found[3] or b"").decode("utf-8", "replace")) if found else None


def joined(code: int, texts: Iterable[str]) -> Reply:
    """The reply of the given lines' texts: printable, of at most MAX_REPLY_CHARACTERS."""
    return Reply(code, printable("\n".join(texts).strip()))


def printable(text: str) -> str:
    """The text without control characters, and of bounded length, for the database and for pages."""
    return _UNPRINTABLE.sub("\ufffd", text)[:MAX_REPLY_CHARACTERS]


def secret_forms(endpoint: Endpoint) -> list[str]:
    """The secrets in every form that a server might repeat: as typed, and as encoded by SASL."""
    forms: list[str] = []
    for secret in endpoint.secrets():
        plain = f"\0{endpoint.user}\0{secret}"
        bearer = oauthbearer(endpoint.user, secret, endpoint.host, endpoint.port)
        for text in (secret, plain, xoauth2(endpoint.user, secret), bearer):
            forms += [text, base64.b64encode(text.encode()).decode("ascii")]
    return sorted(set(forms), key=len, reverse=True)


def without_secrets(text: str, forms: Sequence[str]) -> str:
    """The text with each secret replaced: some servers repeat the command line when they refuse it."""
    for form in forms:
        text = text.replace(form, "***")
    return text
