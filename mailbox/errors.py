"""Expected failures of mail servers, networks and disks. Each class calls for a different reaction."""

from __future__ import annotations

import re

# PostgreSQL takes no NUL in text, UTF-8 no lone surrogate; other control characters say nothing to a person.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class MailError(Exception):
    """An expected failure. str(error) is a sentence for a person that contains the server's own words.

    Both are storable in any database: a character that none takes becomes U+FFFD.
    reply: the server's words alone, "" for none. wait_seconds: how long the server asked to wait, None if it did not.
    alerts: texts with the response code ALERT (RFC 3501, 7.1), which the user must see, when no session was made.
    """

    code = "provider"
    alerts: tuple[str, ...] = ()

    def __init__(self, message: str, *, reply: str = "", wait_seconds: float | None = None) -> None:
        super().__init__(storable(message))
        self.reply = storable(reply)
        self.wait_seconds = wait_seconds


class NetworkError(MailError):
    """The server could not be reached, did not speak TLS, or stopped answering: try again later, with backoff."""

    code = "network"


class SignInRefused(MailError):
    """The credentials were refused, or cannot be decrypted: only new credentials help."""

    code = "sign_in"


class Throttled(MailError):
    """The server asks to wait: for at least `wait_seconds`, if given."""

    code = "throttled"


class OverQuota(MailError):
    """The account's quota at its provider is used up: wait for an hour or more."""

    code = "quota"
    WORDS = "The account is over its quota"


class ProviderError(MailError):
    """The server refused a command for another reason, or its answer cannot be parsed."""

    code = "provider"


class StorageError(MailError):
    """Our own disk or database failed: full, read-only, locked for too long."""

    code = "storage"


class Busy(MailError):
    """Another worker holds this account's lease, and is doing the same work."""

    code = "busy"


def storable(words: str) -> str:
    """Words of a server with U+FFFD in place of NUL, other control characters and lone surrogates."""
    return _UNSTORABLE.sub("\ufffd", words)


def without_secrets(text: str, secrets: list[str]) -> str:
    """The text with every secret replaced: some servers repeat the command line when they refuse it."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
