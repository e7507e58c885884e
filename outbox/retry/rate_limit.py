"""How fast an account may send: a pure decision, `now` handed in."""

from __future__ import annotations

from datetime import datetime, timedelta


def following_at(now: datetime, per_minute: int) -> datetime:
    """When the mail after the one that goes out now may go: evenly apart, so that no minute ever sees more than the
    limit, wherever it begins, whoever stopped and started in between."""
    return now + timedelta(seconds=60 / per_minute)


def wait_seconds(next_at: datetime | None, per_minute: int | None, now: datetime) -> float:
    """How long to wait before the next mail. A time beyond one interval is of an older limit or another clock."""
    if next_at is None or not per_minute:
        return 0.0
    return max(0.0, min((next_at - now).total_seconds(), 60 / per_minute))
