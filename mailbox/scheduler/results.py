"""Commits the results of several accounts' turns in one transaction, a few times a second.

For an account without news the commit is the largest part of our own cost. So a turn that has ended waits here, with
its lease and its unchanged folders, for the next write(). A process killed in between loses no mail: its states are
older than they could be, and its leases expire.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence

from django.db import transaction

from mailbox.db.errors import DATABASE_TROUBLE, close_if_broken
from mailbox.leases.held_lease import give_back
from mailbox.logs import event
from mailbox.models import Lease
from mailbox.scheduler.account_turn import AccountTurn
from mailbox.sync import no_change

logger = logging.getLogger(__name__)
LAST_TRIES = 4
AGAIN_SECONDS = 0.5  # between tries while the database fails


class Results:
    """The turns of a run that have ended and are not committed yet. Any thread may add and write."""

    def __init__(self) -> None:
        self._over = deque[AccountTurn]()
        self._writing = threading.Lock()

    def add(self, turn: AccountTurn) -> None:
        """Hand over a turn that has ended, with its lease."""
        self._over.append(turn)

    def write(self) -> None:
        """Commit all turns that have ended, and release their leases. If the database fails, they wait for the next
        call."""
        with self._writing:
            self._write([self._over.popleft() for _ in range(len(self._over))])

    def write_last(self) -> None:
        """The last write of a run. What still cannot be committed is dropped and its leases are released: those folders
        are synced again soon."""
        for _ in range(LAST_TRIES):
            self.write()
            if not self._over:
                return
            time.sleep(AGAIN_SECONDS)
        give_back([turn.lease for turn in self._over])

    def _write(self, turns: Sequence[AccountTurn]) -> None:
        try:
            if turns:
                _commit(turns)
        except DATABASE_TROUBLE:
            close_if_broken()
            self._over.extendleft(reversed(turns))
        except Exception as error:
            if len(turns) > 1:  # commit each by itself: one account's failure is no other's
                for turn in turns:
                    self._write([turn])
                return
            for name in turns[0].unchanged:
                turns[0].fail_unexpectedly(error, name)
            give_back([turns[0].lease])


def _commit(turns: Sequence[AccountTurn]) -> None:
    with transaction.atomic():
        ours = Lease.release_all([(turn.account_id, turn.lease.token) for turn in turns], Lease.Purpose.SYNC)
        kept = [turn for turn in turns if turn.account_id in ours]
        no_change.write({turn.account_id: list(turn.unchanged.values()) for turn in kept})
    for turn in turns:
        if turn in kept:
            for name, outcome in turn.unchanged.items():
                turn.report.add(turn.account_id, name, outcome)
        elif turn.unchanged:  # the lease was lost: the worker that took it syncs these folders
            event(logger, "turn_not_written", logging.WARNING, account=turn.account_id, error_code="busy")
