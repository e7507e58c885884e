"""The failures a mail server, a network or a disk may rightly cause. Each class means a different action."""

from __future__ import annotations


class MailError(Exception):
    """An expected failure. str(error) is a sentence for a person, with the server's own words in it.

    `reply` holds the server's words alone, "" when it said none; `wait_seconds` what it asked for, if it did; `alerts`
    what it marked as to be shown to the user (RFC 3501, 7.1: ALERT), where no session came of it.
    """

    code = "provider"
    alerts: tuple[str, ...] = ()

    def __init__(self, message: str, *, reply: str = "", wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.reply = reply
        self.wait_seconds = wait_seconds


class NetworkError(MailError):
    """The server could not be reached, spoke no proper TLS, or fell silent: try again later, longer each time."""

    code = "network"


class SignInRefused(MailError):
    """The credentials are not accepted, or cannot be read: nothing helps but other credentials."""

    code = "sign_in"


class Throttled(MailError):
    """The server asks to be left alone for a while: wait at least `wait_seconds`, if given."""

    code = "throttled"


class OverQuota(MailError):
    """The account's own limit at its provider is reached: leave the account alone for an hour and more."""

    code = "quota"
    WORDS = "The account is over its quota"


class ProviderError(MailError):
    """The server refused a command for another reason, or answered what no one understands."""

    code = "provider"


class StorageError(MailError):
    """Our own disk or database refused: full, read-only, locked for too long."""

    code = "storage"


class Busy(MailError):
    """Another worker holds this account's lease; it does the same work at this moment."""

    code = "busy"


def without_secrets(text: str, secrets: list[str]) -> str:
    """Replace every secret that occurs in the text; servers do echo command lines in their refusals."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
