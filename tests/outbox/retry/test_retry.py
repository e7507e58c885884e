"""When the workers try again, and when they leave it to a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outbox.retry import policy as retry_policy
from outbox.retry import throttling
from outbox.retry.classification import classify
from outbox.retry.faults import Fault, Kind, Phase, Verdict
from outbox.retry.policy import RetryLimits, Tried

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIMITS = RetryLimits(5, timedelta(days=5))


@pytest.mark.parametrize(
    ("retries", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 320), (7, 640), (10, 5120), (50, 5120)]
)
def test_the_wait_doubles_and_stops_at_the_tenth(retries: int, seconds: int) -> None:
    assert retry_policy.backoff_seconds(retries, 5) == seconds


@pytest.mark.parametrize(
    ("phase", "kind", "code", "words", "verdict"),
    [
        (Phase.CONNECT, Kind.NETWORK, None, "refused", Verdict.TRANSIENT),
        (Phase.RCPT, Kind.NETWORK, None, "lost", Verdict.TRANSIENT),
        (Phase.MAIL, Kind.PROTOCOL, None, "garbage", Verdict.TRANSIENT),
        (Phase.DATA, Kind.NETWORK, None, "lost", Verdict.TRANSIENT),  # the server lacks the end of the mail
        (Phase.DATA, Kind.PROTOCOL, None, "garbage", Verdict.TRANSIENT),
        (Phase.DATA, Kind.PROTOCOL, 250, "taken", Verdict.TRANSIENT),
        (Phase.DOT, Kind.NETWORK, None, "lost", Verdict.UNCERTAIN),
        (Phase.DOT, Kind.PROTOCOL, None, "garbage", Verdict.UNCERTAIN),
        (Phase.DOT, Kind.PROTOCOL, 354, "go on", Verdict.UNCERTAIN),
        (Phase.DATA, Kind.REPLY, 451, "later", Verdict.TRANSIENT),
        (Phase.DATA, Kind.REPLY, 550, "no", Verdict.PERMANENT),
        (Phase.MAIL, Kind.REPLY, 503, "sequence", Verdict.TRANSIENT),
        (Phase.AUTH, Kind.REPLY, 535, "no", Verdict.SIGN_IN),
        (Phase.AUTH, Kind.REPLY, 534, "5.7.9 app password", Verdict.SIGN_IN),
        (Phase.MAIL, Kind.REPLY, 530, "5.7.0 authenticate", Verdict.SIGN_IN),
        (Phase.AUTH, Kind.REPLY, 504, "mechanism", Verdict.TRANSIENT),
        (Phase.CONNECT, Kind.REPLY, 421, "busy", Verdict.THROTTLED),
        (Phase.DATA, Kind.REPLY, 421, "busy", Verdict.THROTTLED),
        (Phase.AUTH, Kind.REPLY, 454, "4.7.0 too many", Verdict.THROTTLED),
        (Phase.MAIL, Kind.REPLY, 454, "4.3.0 else", Verdict.TRANSIENT),
        (Phase.TLS, Kind.LOCAL, None, "no STARTTLS", Verdict.TRANSIENT),
    ],
)
def test_a_failure_is_classified(phase: Phase, kind: Kind, code: int | None, words: str, verdict: Verdict) -> None:
    assert classify(Fault(phase, kind, words, code)) is verdict


@pytest.mark.parametrize(
    ("verdict", "hold", "retries", "wait"),
    [
        (Verdict.TRANSIENT, "", 3, 40),
        (Verdict.PERMANENT, "permanent", 3, 0),
        (Verdict.SIGN_IN, "sign_in", 2, 0),
        (Verdict.UNCERTAIN, "uncertain", 2, 0),
    ],
)
def test_a_failed_row_is_settled(verdict: Verdict, hold: str, retries: int, wait: int) -> None:
    settled = retry_policy.settle_failure(Tried(2, NOW), verdict, "Network", limits=LIMITS, now=NOW)

    assert (settled.status, settled.hold, settled.retries) == ("failed", hold, retries)
    assert settled.next_attempt_at == NOW + timedelta(seconds=wait)


def test_after_five_days_the_workers_give_up() -> None:
    young = Tried(9, NOW - timedelta(days=5))
    old = Tried(9, NOW - timedelta(days=5, seconds=1))

    assert retry_policy.settle_failure(young, Verdict.TRANSIENT, "Network", limits=LIMITS, now=NOW).hold == ""
    assert retry_policy.settle_failure(old, Verdict.TRANSIENT, "Network", limits=LIMITS, now=NOW).hold == "gave_up"
    assert retry_policy.settle_throttled(old, "Provider", NOW, limits=LIMITS, now=NOW).hold == "gave_up"
    assert retry_policy.settle_failure(old, Verdict.UNCERTAIN, "Network", limits=LIMITS, now=NOW).hold == "uncertain"


@pytest.mark.parametrize(
    ("codes", "status", "hold"),
    [([], "sent", ""), ([451], "failed", ""), ([550], "failed", "permanent"), ([550, 451], "failed", "")],
)
def test_an_accepted_mail_goes_on_for_the_recipients_that_lack_it(codes: list[int], status: str, hold: str) -> None:
    settled = retry_policy.settle_answered(Tried(0, NOW), codes, is_accepted=True, limits=LIMITS, now=NOW)

    assert (settled.status, settled.hold) == (status, hold)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("try again in 5 minutes", 300),
        ("Retry after 90 s", 90),
        ("wait 10 sec", 10),
        ("later", 0),
        ("4.7.0 wait 9999 m", 3600),
    ],
)
def test_a_wait_that_the_server_states_is_read(words: str, seconds: int) -> None:
    assert throttling.stated_wait_seconds(words) == seconds
    assert retry_policy.unavailable_seconds(Verdict.THROTTLED, 1, words, 5) == max(60, seconds)


def test_a_server_that_is_away_is_asked_at_least_every_five_minutes() -> None:
    waits = [retry_policy.unavailable_seconds(Verdict.TRANSIENT, failures, "", 5) for failures in (1, 2, 6, 60)]

    assert waits == [10, 20, 300, 300]
