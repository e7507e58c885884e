"""Decides whether and when a failed mail is tried again, or waits for a person. Pure; `now` is handed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from outbox.errors import ErrorCode
from outbox.retry import throttling
from outbox.retry.classification import is_transient_code
from outbox.retry.faults import Fault, Kind, Verdict

MAX_EXPONENT = 10  # 5 s * 2^10 = 5,120 s is the longest wait
LAPSES_BY_CHANCE = 2
UNREACHABLE_CAP_SECONDS = 300.0
# When the stored mail cannot be read: waits of a minute, doubled each time, at most a quarter of an hour. MOST_LOOKS
# tries take two hours; then a file that the store does not have is a permanent failure.
AWAY_BASE_SECONDS, AWAY_CAP_SECONDS, MOST_LOOKS = 30.0, 900.0, 12
THROTTLED_CAP_SECONDS = 900.0
LIMIT_CAP_SECONDS = 3600.0  # for limits reported with 5xx, which are per hour or day


@dataclass(frozen=True)
class Tried:
    """What the decision needs of the row, as it was claimed."""

    retries: int
    created_at: datetime


@dataclass(frozen=True)
class RetryLimits:
    """The base of the backoff, and the age at which a mail is given up."""

    base_seconds: float
    give_up_after: timedelta


@dataclass(frozen=True)
class Settlement:
    """The row's new state. status: "sent" or "failed". hold: "" if workers try again, else why a person is needed."""

    status: str
    hold: str
    retries: int
    next_attempt_at: datetime
    error_code: str
    verdict: Verdict


def error_code(fault: Fault) -> ErrorCode:
    """The code of a fault that a person is shown: NETWORK for Kind.NETWORK, else PROVIDER."""
    return ErrorCode.NETWORK if fault.kind is Kind.NETWORK else ErrorCode.PROVIDER


def backoff_seconds(retries: int, base_seconds: float) -> float:
    """The wait after a failure: base * 2^retries, `retries` counting this failure; the exponent is capped."""
    return base_seconds * float(2 ** min(retries, MAX_EXPONENT))


def lapse_seconds(lapses: int, base_seconds: float) -> float:
    """The wait of a row whose claim expired `lapses` times in a row.

    None for LAPSES_BY_CHANCE, since restarts are common; then exponential, as the mail itself may kill its worker.
    """
    return 0.0 if lapses <= LAPSES_BY_CHANCE else backoff_seconds(lapses - LAPSES_BY_CHANCE, base_seconds)


def settle_failure(tried: Tried, verdict: Verdict, code: str, *, limits: RetryLimits, now: datetime) -> Settlement:
    """The new state of a row after a failed attempt with this verdict; for THROTTLED see settle_throttled()."""
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
    """The new state after the server asked to wait: the row waits until `until` and no retry is counted, unless it is
    too old."""
    if now - tried.created_at > limits.give_up_after:
        return _held(tried.retries, "gave_up", code, Verdict.THROTTLED, now)
    return Settlement("failed", "", tried.retries, until, code, Verdict.THROTTLED)


def settle_away(
    tried: Tried, looks: int, code: str, *, is_gone: bool, limits: RetryLimits, now: datetime
) -> Settlement:
    """The new state after the stored mail could not be read for the `looks`-th time; no retry is counted.

    A store that cannot be reached is waited for until the mail is too old. With `is_gone` (the store works and has no
    such file), it is a permanent failure after MOST_LOOKS.
    """
    verdict = Verdict.PERMANENT if is_gone and looks >= MOST_LOOKS else Verdict.TRANSIENT
    if verdict is Verdict.PERMANENT or now - tried.created_at > limits.give_up_after:
        return settle_failure(tried, verdict, code, limits=limits, now=now)
    wait = timedelta(seconds=min(backoff_seconds(looks, AWAY_BASE_SECONDS), AWAY_CAP_SECONDS))
    return Settlement("failed", "", tried.retries, now + wait, code, verdict)


def _held(retries: int, hold: str, code: str, verdict: Verdict, now: datetime) -> Settlement:
    # Due at once: when a person lifts the hold, the mail must not have to wait.
    return Settlement("failed", hold, retries, now, code, verdict)


def settle_answered(
    tried: Tried, refused_codes: Iterable[int | None], *, is_accepted: bool, limits: RetryLimits, now: datetime
) -> Settlement:
    """The new state after the server has answered for each recipient, and accepted the mail for the others, if any.

    refused_codes: one for each recipient that was refused; None for a transient refusal whatever its code.
    """
    codes = list(refused_codes)
    if not codes:
        return Settlement("sent", "", tried.retries, now, "", Verdict.ACCEPTED)
    # While a retry may help any recipient, workers go on; recipients refused for good need a person afterwards.
    waits = any(code is None or is_transient_code(code) for code in codes)
    verdict = Verdict.TRANSIENT if waits else Verdict.PERMANENT
    settled = settle_failure(tried, verdict, ErrorCode.PROVIDER.value, limits=limits, now=now)
    return replace(settled, verdict=Verdict.PARTIAL) if is_accepted else settled


def unavailable_seconds(
    verdict: Verdict, failures: int, words: str, base_seconds: float, code: int | None = None
) -> float:
    """Seconds of backoff for a server after `failures` in a row; at least the wait that its words state."""
    if verdict is Verdict.THROTTLED:
        base = throttling.seconds_to_wait(code or 421, words) or throttling.USUAL_SECONDS
        cap = LIMIT_CAP_SECONDS if code and code >= 500 else THROTTLED_CAP_SECONDS
        return max(min(backoff_seconds(failures, base), cap), throttling.stated_wait_seconds(words))
    return min(backoff_seconds(failures, base_seconds), UNREACHABLE_CAP_SECONDS)
