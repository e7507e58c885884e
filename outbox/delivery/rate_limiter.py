"""An account's rate limit, applied by its one sender: read once, saved with each "dot", waited for in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from mailbox.db import statements
from mailbox.models import Account
from outbox.models import SendPace
from outbox.retry import rate_limit

LONGEST_WAIT_SECONDS = 15.0  # longest wait with the session open; after a longer one the sweep starts again
SLICE_SECONDS = 1.0
_PACE = """INSERT INTO "send_paces" ("account_id", "next_at") VALUES (%s, %s)
ON CONFLICT ("account_id") DO UPDATE SET "next_at" = excluded."next_at\""""


class RateLimiter:
    """The time of the account's next mail. per_minute: its rate limit, None without one. is_waiting: the sender waits
    for it, and others get its place."""

    def __init__(self, account: Account) -> None:
        self._account_id, self.per_minute = account.pk, account.messages_per_minute
        self._next_at: datetime | None = None
        self.is_waiting = False
        if self.per_minute:
            self._next_at = SendPace.objects.filter(pk=account.pk).values_list("next_at", flat=True).first()

    def wait_seconds(self, now: datetime) -> float:
        """The seconds until the next mail may go out; 0 without a limit, and if it may go out at once."""
        return rate_limit.wait_seconds(self._next_at, self.per_minute, now)

    def is_open(self, now: datetime) -> bool:
        """Whether a mail may go out at `now`."""
        return self.wait_seconds(now) <= 0

    def count(self, now: datetime) -> None:
        """Count one mail, which goes out now; call it in the transaction of its "dot"."""
        if self.per_minute:
            self._next_at = rate_limit.following_at(now, self.per_minute)
            statements.changed(_PACE, [self._account_id, statements.instant(self._next_at)])

    async def wait(self, clock: Callable[[], datetime], may_wait: Callable[[], bool]) -> None:
        """Wait for the next mail's time if it is within LONGEST_WAIT_SECONDS, as long as `may_wait` returns True."""
        self.is_waiting = True
        try:
            while 0 < (left := self.wait_seconds(clock())) <= LONGEST_WAIT_SECONDS and may_wait():
                await asyncio.sleep(min(left, SLICE_SECONDS))
        finally:
            self.is_waiting = False
