"""The rate of a token: counted in its row, so that requests at once on many hosts are never more than it.

A write for each request would be a commit for each. A process whose requests follow each other within a second takes
several from the row at once, each time twice as many, up to a hundredth of the rate and MOST. What it took is good for
its minute and KEPT, and the row's last use is older by as much at the most; what is left over then was counted in vain:
the rate is reached early by a little, never late.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, F, Q, Value, When

from api.models import Token

MOST = 50
KEPT = timedelta(seconds=5)
SOON = timedelta(seconds=1)
MOST_TOKENS = 1000  # that a process remembers


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
    """Count one request; False when it is above the rate."""
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
            new.left += last.left  # of another thread, which asked at the same time
        if len(_taken) >= MOST_TOKENS:
            _taken.clear()
        _taken[digest] = new


def _take(token: Token, address: str, now: datetime, number: int) -> bool:
    minute = int(now.timestamp()) // 60
    count = Case(When(minute=minute, then=F("in_minute") + number), default=Value(number))
    within_rate = ~Q(minute=minute) | Q(in_minute__lte=token.per_minute - number)
    changed = {"minute": minute, "in_minute": count, "last_used_at": now, "last_address": address}
    return Token.objects.filter(within_rate, pk=token.pk).update(**changed) == 1
