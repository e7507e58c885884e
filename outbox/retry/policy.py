"""When to try again, and when to leave it to a person. Pure: no I/O, no models; `now` is handed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from outbox.errors import Code
from outbox.retry import throttling

MAX_EXPONENT = 10  # 5 s * 2^10 = 5,120 s is the longest wait
LAPSES_BY_CHANCE = 2
UNREACHABLE_CAP_SECONDS = 300.0
# Our own stored mail cannot be read: a minute, doubled, a quarter of an hour at most; so many looks take two hours.
AWAY_BASE_SECONDS, AWAY_CAP_SECONDS, MOST_LOOKS = 30.0, 900.0, 12
THROTTLED_CAP_SECONDS = 900.0


class Phase(StrEnum):
    """How far an attempt came; the values of DeliveryAttempt.Phase, in order."""

    CLAIM = "claim"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    ACCEPTED = "accepted"


class Kind(StrEnum):
    """What a failure is, seen from the client."""

    NETWORK = "network"  # refused, lost, timed out, certificate
    PROTOCOL = "protocol"  # an answer that is no SMTP reply, or half of one
    REPLY = "reply"  # a proper reply with a code that refuses
    UNKNOWN = "unknown"  # the server does not know a command that it offered, so it took nothing
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


@dataclass(frozen=True)
class Tried:
    """What the decision needs to know of the row at its claim."""

    retries: int
    created_at: datetime


@dataclass(frozen=True)
class Limits:
    """Seconds, and the age at which the workers stop."""

    base_seconds: float
    give_up_after: timedelta


@dataclass(frozen=True)
class Settlement:
    """What becomes of the row: `status` is sent or failed, `hold` "" when the workers go on by themselves."""

    status: str
    hold: str
    retries: int
    next_attempt_at: datetime
    error_code: str
    verdict: Verdict


def is_transient_code(code: int) -> bool:
    """4xx is for now (RFC 5321 4.2.1); 503 "bad sequence" too, as the next session starts the sequence anew."""
    return 400 <= code < 500 or code == 503


def classify(fault: Fault) -> Verdict:
    """Say what a failure means. Source of the codes: RFC 5321, RFC 4954 section 6, RFC 3463."""
    if fault.kind in (Kind.NETWORK, Kind.PROTOCOL):
        # From the commit of "data" on, only a proper reply tells that nothing was taken.
        return Verdict.UNCERTAIN if fault.phase in (Phase.DATA, Phase.ACCEPTED) else Verdict.TRANSIENT
    if fault.kind in (Kind.UNKNOWN, Kind.AWAY):
        return Verdict.TRANSIENT
    if fault.kind is Kind.LOCAL or fault.code is None:
        return Verdict.PERMANENT
    return _classify_reply(fault.phase, fault.code, fault.reply)


def _classify_reply(phase: Phase, code: int, words: str) -> Verdict:
    # 530 is "authentication required", 534 "mechanism too weak" and Google's "log in with your browser".
    if code == 535 or code == 530 or (phase is Phase.AUTH and code == 534):
        return Verdict.SIGN_IN
    if code == 421 or (code == 454 and (phase is Phase.AUTH or "4.7.0" in words)):
        return Verdict.THROTTLED
    if throttling.seconds_to_wait(code, words) is not None:
        return Verdict.THROTTLED
    if is_transient_code(code):
        return Verdict.TRANSIENT
    if 500 <= code < 600:
        return Verdict.PERMANENT
    # A 2xx or 3xx where neither belongs: the two sides no longer talk of the same thing.
    return Verdict.UNCERTAIN if phase in (Phase.DATA, Phase.ACCEPTED) else Verdict.TRANSIENT


def error_code(fault: Fault) -> Code:
    return Code.NETWORK if fault.kind is Kind.NETWORK else Code.PROVIDER


def backoff_seconds(retries: int, base_seconds: float) -> float:
    """The wait after a failure that made `retries` what it is: base * 2^retries, the exponent capped."""
    return base_seconds * float(2 ** min(retries, MAX_EXPONENT))


def lapse_seconds(lapses: int, base_seconds: float) -> float:
    """The wait of a row whose workers died or lost it `lapses` times in a row: none at first, as a restart is common;
    then longer and longer, as the mail itself may be what takes its worker down."""
    return 0.0 if lapses <= LAPSES_BY_CHANCE else backoff_seconds(lapses - LAPSES_BY_CHANCE, base_seconds)


def settle_failure(tried: Tried, verdict: Verdict, code: str, *, limits: Limits, now: datetime) -> Settlement:
    """Decide what becomes of a row whose attempt failed as `verdict`. Throttling is settled by settle_throttled."""
    if verdict is Verdict.UNCERTAIN:
        return _held(tried.retries, "uncertain", code, verdict, now)
    if verdict is Verdict.SIGN_IN:
        return _held(tried.retries, "sign_in", code, verdict, now)
    retries = tried.retries + 1
    if verdict is Verdict.PERMANENT:
        return _held(retries, "permanent", code, verdict, now)
    if now - tried.created_at > limits.give_up_after:
        return _held(retries, "gave_up", code, verdict, now)
    wait = timedelta(seconds=backoff_seconds(retries, limits.base_seconds))
    return Settlement("failed", "", retries, now + wait, code, verdict)


def settle_throttled(tried: Tried, code: str, until: datetime, *, limits: Limits, now: datetime) -> Settlement:
    """The server asked to wait: the row waits with its queue and loses no attempt, unless it is too old."""
    if now - tried.created_at > limits.give_up_after:
        return _held(tried.retries, "gave_up", code, Verdict.THROTTLED, now)
    return Settlement("failed", "", tried.retries, until, code, Verdict.THROTTLED)


def settle_away(tried: Tried, looks: int, code: str, *, limits: Limits, now: datetime) -> Settlement:
    """The stored mail could not be read, at the `looks`-th look for it: the mail is not to blame and loses nothing, but
    a file that is gone for good must not be looked for until the mail is too old."""
    verdict = Verdict.PERMANENT if looks >= MOST_LOOKS else Verdict.TRANSIENT
    if verdict is Verdict.PERMANENT or now - tried.created_at > limits.give_up_after:
        return settle_failure(tried, verdict, code, limits=limits, now=now)
    wait = timedelta(seconds=min(backoff_seconds(looks, AWAY_BASE_SECONDS), AWAY_CAP_SECONDS))
    return Settlement("failed", "", tried.retries, now + wait, code, verdict)


def _held(retries: int, hold: str, code: str, verdict: Verdict, now: datetime) -> Settlement:
    # A hold is lifted by a person, whose click must then not be told to wait: due at once.
    return Settlement("failed", hold, retries, now, code, verdict)


def settle_accepted(tried: Tried, refused_codes: Iterable[int | None], *, limits: Limits, now: datetime) -> Settlement:
    """Decide after the server took the mail: `refused_codes` are of the recipients that still lack it."""
    codes = list(refused_codes)
    if not codes:
        return Settlement("sent", "", tried.retries, now, "", Verdict.ACCEPTED)
    # While one can still get it by waiting, the workers go on with that one; the refused for good come after.
    waits = any(code is None or is_transient_code(code) for code in codes)
    verdict = Verdict.TRANSIENT if waits else Verdict.PERMANENT
    settled = settle_failure(tried, verdict, Code.PROVIDER.value, limits=limits, now=now)
    return Settlement(
        settled.status, settled.hold, settled.retries, settled.next_attempt_at, settled.error_code, Verdict.PARTIAL
    )


def unavailable_seconds(
    verdict: Verdict, failures: int, words: str, base_seconds: float, code: int | None = None
) -> float:
    """How long to leave a server alone after `failures` in a row, its own stated wait honoured."""
    if verdict is Verdict.THROTTLED:
        base = throttling.seconds_to_wait(code or 421, words) or throttling.USUAL_SECONDS
        return max(min(backoff_seconds(failures, base), THROTTLED_CAP_SECONDS), throttling.stated_wait_seconds(words))
    return min(backoff_seconds(failures, base_seconds), UNREACHABLE_CAP_SECONDS)
