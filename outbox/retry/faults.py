"""The data types of failures: the phase, the kind, the server's code and words, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The phases of an attempt, in order; values of DeliveryAttempt.Phase."""

    CLAIM = "claim"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # the content is being written; without its end the server cannot take the mail
    DOT = "dot"  # the end of the mail is being written, or was
    ACCEPTED = "accepted"


# Before any mail: a failure here is about the server, the network or the sign-in.
OPENING = (Phase.CONNECT, Phase.TLS, Phase.AUTH)
# Only the server's answer tells whether it took the mail.
AFTER_DOT = (Phase.DOT, Phase.ACCEPTED)


class Kind(StrEnum):
    """The kind of a failure, as the client saw it."""

    NETWORK = "network"  # connection refused, lost or timed out; certificate not trusted
    PROTOCOL = "protocol"  # not an SMTP reply, half of one, or an unsolicited one
    REPLY = "reply"  # a reply with a refusing code
    UNKNOWN = "unknown"  # the server refused a parameter of an extension it offers; the end was not written
    AWAY = "away"  # this worker cannot read the stored mail, but another one may
    LOCAL = "local"  # found before any connection: too large, no STARTTLS, stored mail missing


class Verdict(StrEnum):
    """The meaning of a result for the row; values of DeliveryAttempt.Outcome."""

    ACCEPTED = "accepted"
    PARTIAL = "partial"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    SIGN_IN = "sign_in"
    THROTTLED = "throttled"
    UNCERTAIN = "uncertain"
    ABANDONED = "abandoned"


@dataclass(frozen=True)
class Fault:
    """One failure. phase: in which it happened. reply: the server's words, or a sentence of ours if there are none."""

    phase: Phase
    kind: Kind
    reply: str
    code: int | None = None
