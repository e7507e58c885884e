"""When to try again, and when to leave it to a person. Pure: no I/O, no models; `now` is handed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from outbox.errors import ErrorCode
from outbox.retry import throttling
from outbox.retry.classification import classify, is_for_now, is_transient_code
from outbox.retry.faults import Fault, Kind, Phase, Verdict

MAX_EXPONENT = 10  # 5 s * 2^10 = 5,120 s is the longest wait
LAPSES_BY_CHANCE = 2
UNREACHABLE_CAP_SECONDS = 300.0
# Our own stored mail cannot be read: a minute, doubled, a quarter of an hour at most; so many looks take two hours;
# one that the store does not have is a person's question then.
AWAY_BASE_SECONDS, AWAY_CAP_SECONDS, MOST_LOOKS = 30.0, 900.0, 12
THROTTLED_CAP_SECONDS = 900.0
LIMIT_CAP_SECONDS = 3600.0  # of a limit that is told with 5xx: by the hour or the day
__all__ = ["Fault", "Kind", "Phase", "Verdict", "classify", "is_for_now", "is_transient_code"]


@dataclass(frozen=True)
class Tried:
    """What the decision needs to know of the row at its claim."""

    retries: int
    created_at: datetime


@dataclass(frozen=True)
class RetryLimits:
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


def error_code(fault: Fault) -> ErrorCode:
    return ErrorCode.NETWORK if fault.kind is Kind.NETWORK else ErrorCode.PROVIDER


def backoff_seconds(retries: int, base_seconds: float) -> float:
    """The wait after a failure that made `retries` what it is: base * 2^retries, the exponent capped."""
    return base_seconds * float(2 ** min(retries, MAX_EXPONENT))


def lapse_seconds(lapses: int, base_seconds: float) -> float:
    """The wait of a row whose workers died or lost it `lapses` times in a row: none at first, as a restart is common;
    then longer and longer, as the mail itself may be what takes its worker down."""
    return 0.0 if lapses <= LAPSES_BY_CHANCE else backoff_seconds(lapses - LAPSES_BY_CHANCE, base_seconds)


def settle_failure(tried: Tried, verdict: Verdict, code: str, *, limits: RetryLimits, now: datetime) -> Settlement:
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


def settle_throttled(tried: Tried, code: str, until: datetime, *, limits: RetryLimits, now: datetime) -> Settlement:
    """The server asked to wait: the row waits with its queue and loses no attempt, unless it is too old."""
    if now - tried.created_at > limits.give_up_after:
        return _held(tried.retries, "gave_up", code, Verdict.THROTTLED, now)
    return Settlement("failed", "", tried.retries, until, code, Verdict.THROTTLED)


def settle_away(
    tried: Tried, looks: int, code: str, *, is_gone: bool, limits: RetryLimits, now: datetime
) -> Settlement:
    """The stored mail could not be read, at the `looks`-th look for it: the mail is not to blame and loses nothing. A
    store that is away is waited for, however long: nothing was sent, so there is nothing to ask a person. A file that
    the store says `is_gone` must not be looked for until the mail is too old."""
    verdict = Verdict.PERMANENT if is_gone and looks >= MOST_LOOKS else Verdict.TRANSIENT
    if verdict is Verdict.PERMANENT or now - tried.created_at > limits.give_up_after:
        return settle_failure(tried, verdict, code, limits=limits, now=now)
    wait = timedelta(seconds=min(backoff_seconds(looks, AWAY_BASE_SECONDS), AWAY_CAP_SECONDS))
    return Settlement("failed", "", tried.retries, now + wait, code, verdict)


def _held(retries: int, hold: str, code: str, verdict: Verdict, now: datetime) -> Settlement:
    # A hold is lifted by a person, whose click must then not be told to wait: due at once.
    return Settlement("failed", hold, retries, now, code, verdict)


def settle_accepted(
    tried: Tried, refused_codes: Iterable[int | None], *, limits: RetryLimits, now: datetime
) -> Settlement:
    """Decide after the server took the mail: `refused_codes` are of the recipients that still lack it, None of one who
    was refused for now whatever the code."""
    codes = list(refused_codes)
    if not codes:
        return Settlement("sent", "", tried.retries, now, "", Verdict.ACCEPTED)
    # While one can still get it by waiting, the workers go on with that one; the refused for good come after.
    waits = any(code is None or is_transient_code(code) for code in codes)
    verdict = Verdict.TRANSIENT if waits else Verdict.PERMANENT
    settled = settle_failure(tried, verdict, ErrorCode.PROVIDER.value, limits=limits, now=now)
    return Settlement(
        settled.status, settled.hold, settled.retries, settled.next_attempt_at, settled.error_code, Verdict.PARTIAL
    )


def unavailable_seconds(
    verdict: Verdict, failures: int, words: str, base_seconds: float, code: int | None = None
) -> float:
    """How long to leave a server alone after `failures` in a row, its own stated wait honoured."""
    if verdict is Verdict.THROTTLED:
        base = throttling.seconds_to_wait(code or 421, words) or throttling.USUAL_SECONDS
        cap = LIMIT_CAP_SECONDS if code and code >= 500 else THROTTLED_CAP_SECONDS
        return max(min(backoff_seconds(failures, base), cap), throttling.stated_wait_seconds(words))
    return min(backoff_seconds(failures, base_seconds), UNREACHABLE_CAP_SECONDS)
