"""Rate limits of tokens, in requests a minute. They are counted in the token's row, so they hold across hosts.

To avoid a commit for each request, a process reserves several requests at once when requests follow each other within
a second: each time twice as many, up to MOST and a hundredth of the rate. A reservation is valid in its minute for at
most KEPT. Requests that are left over then were counted for nothing, so the limit may be reached slightly early, never
late; and `last_used_at` may be up to KEPT too old.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, F, Q, Value, When

from api.models import Token
from mailbox.db import shared_commit

MOST = 50
KEPT = timedelta(seconds=5)
SOON = timedelta(seconds=1)
MOST_TOKENS = 1000  # tokens whose reservations a process keeps


@dataclass
class _Taken:
    minute: int  # Unix seconds // 60
    address: str
    at: datetime
    size: int
    left: int


_lock = threading.Lock()
_taken: dict[str, _Taken] = {}  # by the token's digest


def count(token: Token, address: str, now: datetime) -> bool:
    """Count one request; returns False if it exceeds the rate."""
    minute = int(now.timestamp()) // 60
    with _lock:
        last = _taken.get(token.digest)
        is_same = last is not None and (last.minute, last.address) == (minute, address) and last.at <= now
        if last is not None and is_same and last.left and now - last.at <= KEPT:
            last.left -= 1
            return True
        size = last.size * 2 if last is not None and is_same and now - last.at <= SOON else 1
    size = max(1, min(size, MOST, token.per_minute // 100))
    if _take(token, address, now, size):
        _remember(token.digest, _Taken(minute, address, now, size, size - 1))
        return True
    return size > 1 and _take(token, address, now, 1)


def _remember(digest: str, new: _Taken) -> None:
    with _lock:
        last = _taken.get(digest)
        if last is not None and (last.minute, last.address) == (new.minute, new.address):
            new.left += last.left  # reserved by another thread concurrently
        if len(_taken) >= MOST_TOKENS:
            _taken.clear()
        _taken[digest] = new


def _take(token: Token, address: str, now: datetime, number: int) -> bool:
    minute = int(now.timestamp()) // 60
    count = Case(When(minute=minute, then=F("in_minute") + number), default=Value(number))
    within_rate = ~Q(minute=minute) | Q(in_minute__lte=token.per_minute - number)
    changed = {"minute": minute, "in_minute": count, "last_used_at": now, "last_address": address}
    rows = Token.objects.filter(within_rate, pk=token.pk)
    return shared_commit.write(lambda: rows.update(**changed)) == 1
