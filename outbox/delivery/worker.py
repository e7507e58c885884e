"""Delivers many accounts at once: an event loop with one task for each account.

Threads would compete for the interpreter and wait for each other's commits; tasks share commits, and a slow server
holds up no other account. A worker looks for accounts with due rows, gives them turns, and ends when nothing is due.

A session that waits for a slow server does not count against the limit: it goes on in the background, even after the
django-q2 task that began it has ended. OUTBOX_COURIERS limits how many workers of a host deliver at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.conf import settings

from mailbox import logs
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.host_slots import take_slot
from mailbox.models import Lease
from outbox.delivery import deliver
from outbox.delivery.attempt_watch import Clock, utc_now
from outbox.delivery.database import Database
from outbox.delivery.deliver import DeliveryCounts
from outbox.delivery.sender import Sender
from outbox.delivery.task_loop import TaskLoop
from outbox.delivery.timeouts import LONGEST_LEASE_SECONDS
from outbox.models import DeliveryCall

logger = logging.getLogger(__name__)
ROUND_SECONDS = 10.0  # length of an account's turn
LOOK_SECONDS = 0.05
# Between looks while accounts are served, as a look takes time from them, and of who waits for rows to become due.
RARE_LOOK_SECONDS = 0.25
# A process begins this many accounts at first, and calls another worker if more are due. For fewer accounts a second
# process costs more than it gives, since each has commits of its own.
ROUNDS_AT_ONCE, CALL_SECONDS = 8, 0.5
REST_SECONDS = 1.0  # pause of an account for which nothing could be attempted
MOST_ROUNDS = 64  # turns in a process, including those in the background


class DeliveryRunner:
    """The deliveries of this process. `run` may be called by one thread at a time; turns may go on after it returns."""

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        after: Callable[[int], object] = lambda account_id: None,
        call: Callable[[], object] = lambda: None,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> None:
        """after: called with the pk of each account that was served. call: called when another worker is needed.
        may_wait: when it returns False, `run` does not wait for rows to become due."""
        self._clock, self._after, self._call, self._may_wait = clock, after, call, may_wait
        self._started_at = 0.0
        self._rounds: dict[int, Sender | None] = {}  # account pk -> its sender, once that is made
        self._served_at: dict[int, float] = {}  # account pk -> begin of its last turn
        self._rest_until: dict[int, float] = {}
        self._changed = threading.Condition()
        self._tasks = TaskLoop("deliver")

    def run(self, budget: float, *, ahead: float = 0.0) -> DeliveryCounts:
        """Send what is due of all accounts. After `budget` seconds no further row is begun.

        The worker in a host's first slot also waits for rows that become due within `ahead` seconds, so that mail is
        sent on time rather than at the next sweep. One process is enough for that.
        """
        total, until = DeliveryCounts(), time.monotonic() + budget
        while True:
            DeliveryCall.answer()
            slot = take_slot("deliver", settings.OUTBOX_COURIERS)
            if slot is None:  # other workers deliver, and look again after they have released their slots
                return total
            awaited = 0.0 if slot.number else ahead
            with slot:
                self._serve(until, total, awaited)
            if not (self._startable(resting=True) or self._is_awaited(awaited)):
                return total
            if time.monotonic() >= until:
                total.more_due = True
                return total
            time.sleep(LOOK_SECONDS)

    def _serve(self, until: float, total: DeliveryCounts, ahead: float) -> None:
        looked, has_changed = 0.0, True
        while True:
            now, started = time.monotonic(), 0
            if now < until and (has_changed or not self._active() or now - looked >= RARE_LOOK_SECONDS):
                looked, started = now, self._start(until, total)
            is_idle = not started and not self._active()
            if is_idle and not (now < until and self._is_awaited(ahead)):
                return
            with self._changed:
                has_changed = self._changed.wait(RARE_LOOK_SECONDS if is_idle else LOOK_SECONDS)

    def _is_awaited(self, ahead: float) -> bool:
        """Whether an idle worker should stay, since a row becomes due within `ahead` seconds."""
        return ahead > 0 and self._may_wait() and bool(self._startable(resting=True, ahead=ahead))

    def _active(self) -> int:
        """The number of turns, without those that a server keeps waiting."""
        return sum(sender is None or not sender.is_stalled for sender in self._rounds.copy().values())

    def _startable(self, *, resting: bool = False, ahead: float = 0.0) -> list[int]:
        """The pks of accounts with due rows that no worker serves, those served longest ago first; then the older.

        resting: include those for which nothing could be attempted a moment ago. ahead: include those with rows that
        become due within so many seconds.
        """
        now, instant = time.monotonic(), self._clock()
        due = set(deliver.accounts_with_due_rows(instant + timedelta(seconds=ahead))) - self._rounds.keys()
        if due:
            longest = instant + timedelta(seconds=LONGEST_LEASE_SECONDS)
            taken = Lease.objects.filter(purpose=Lease.Purpose.SEND, expires_at__gt=instant, expires_at__lte=longest)
            due -= set(taken.values_list("account_id", flat=True))
        if not resting:
            due = {pk for pk in due if self._rest_until.get(pk, 0.0) <= now}
        return sorted(due, key=lambda pk: (self._served_at.get(pk, 0.0), pk))

    def _start(self, until: float, total: DeliveryCounts) -> int:
        with self._changed:
            active = self._active()
            free = min(settings.OUTBOX_SESSIONS - active, MOST_ROUNDS - len(self._rounds))
        if settings.OUTBOX_COURIERS > 1:
            is_soon = active and time.monotonic() - self._started_at < CALL_SECONDS
            free = 0 if is_soon else min(free, ROUNDS_AT_ONCE)
        waiting = self._startable() if free > 0 else []
        for account_id in waiting[:free]:
            with self._changed:
                self._rounds[account_id] = None
                self._served_at[account_id] = self._started_at = time.monotonic()
            self._tasks.begin(partial(self._go, account_id=account_id, until=until, total=total))
        if len(waiting) > free > 0 and settings.OUTBOX_COURIERS > 1:
            self._call()
        return len(waiting[:free])

    async def _go(self, database: Database, *, account_id: int, until: float, total: DeliveryCounts) -> None:
        seconds, report = max(0.0, min(ROUND_SECONDS, until - time.monotonic())), DeliveryCounts()
        seen = partial(self._rounds.__setitem__, account_id)
        try:
            report = await deliver.deliver_due(database, account_id, seconds, clock=self._clock, seen=seen)
            if report.attempted:
                database.run(lambda: self._after(account_id))
        except DATABASE_TROUBLE as error:
            logs.event(logger, "round_failed", logging.WARNING, account=account_id, error=str(error))
        except Exception:  # its rows were settled; other accounts must go on
            logger.exception("A round of account %s failed", account_id)
        finally:
            with self._changed:
                del self._rounds[account_id]
                if not report.attempted:
                    self._rest_until[account_id] = time.monotonic() + REST_SECONDS
                total.attempted += report.attempted
                total.sent += report.sent
                self._changed.notify_all()
