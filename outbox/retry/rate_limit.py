"""The rate limit of an account: when the next mail may be sent. Pure; `now` is handed in."""

from __future__ import annotations

from datetime import datetime, timedelta


def following_at(now: datetime, per_minute: int) -> datetime:
    """When the next mail may be sent after one that is sent now. Mails are evenly spaced, so that no minute, wherever
    it begins, has more than the limit, also across restarts."""
    return now + timedelta(seconds=60 / per_minute)


def wait_seconds(next_at: datetime | None, per_minute: int | None, now: datetime) -> float:
    """Seconds to wait before the next mail. A `next_at` beyond one interval comes from an older limit or another clock,
    and is cut."""
    if next_at is None or not per_minute:
        return 0.0
    return max(0.0, min((next_at - now).total_seconds(), 60 / per_minute))
