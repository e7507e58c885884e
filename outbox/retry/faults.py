"""One failure of an attempt as data: the phase it happened in, of what kind it is, the server's code and words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """How far an attempt came, in order. The values of DeliveryAttempt.Phase."""

    CLAIM = "claim"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # the mail is being written; the server lacks its end, so it cannot take it
    DOT = "dot"  # the final dot is being written or is with the server
    ACCEPTED = "accepted"


# Nothing of any mail was said: whatever fails here is about the server, the way to it or the sign-in.
OPENING = (Phase.CONNECT, Phase.TLS, Phase.AUTH)
# From here on only the server's answer tells whether it took the mail.
AFTER_DOT = (Phase.DOT, Phase.ACCEPTED)


class Kind(StrEnum):
    """What a failure is, seen from the client."""

    NETWORK = "network"  # refused, lost, timed out, certificate
    PROTOCOL = "protocol"  # an answer that is no SMTP reply, half of one, or one to nothing that was asked
    REPLY = "reply"  # a proper reply with a code that refuses
    UNKNOWN = "unknown"  # the server does not know a parameter that it offered, so the mail was left without its end
    AWAY = "away"  # this worker cannot read the stored mail, which may lie where another one can
    LOCAL = "local"  # found here before asking: too large, no STARTTLS, stored mail missing


class Verdict(StrEnum):
    """What a failure means for the row; values of DeliveryAttempt.Outcome."""

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
    """One failure. `phase` is the one it happened in; `reply` the server's words, or ours when it said none."""

    phase: Phase
    kind: Kind
    reply: str
    code: int | None = None
