"""What an account's turn leaves to be written, and the writing of several threads' in one commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.db import OperationalError, connection, transaction

from mailbox.keep_alive import LEASE_SECONDS
from mailbox.models import Account, Lease
from mailbox.sync import no_change
from mailbox.sync.account_session import Clock
from mailbox.sync.no_change import UnchangedFolder

LONGEST_SECONDS = 2.0  # that a look is kept while its account's turn goes on


@dataclass(eq=False)
class Ending:
    """What is still to be written of an account's turn: by folder name, that nothing was new."""

    account: Account
    token: str
    looks: dict[str, UnchangedFolder] = field(default_factory=dict)
    tries: int = 0
    _since: float = 0.0

    def note(self, folder: str, look: UnchangedFolder) -> None:
        if not self.looks:
            self._since = time.monotonic()
        self.looks[folder] = look

    def is_old(self) -> bool:
        """Whether what was noted first has waited for long enough."""
        return time.monotonic() - self._since > LONGEST_SECONDS

    def write(self, clock: Clock, *, give_back: bool) -> bool:
        """In the transaction that is open. False when another worker has the lease: then nothing is written."""
        pk, purpose = self.account.pk, Lease.Purpose.SYNC
        if give_back:
            is_ours = Lease.release(pk, purpose, self.token)
        else:
            is_ours = Lease.renew(pk, purpose, self.token, seconds=LEASE_SECONDS, now=clock())
        if is_ours and self.looks:
            no_change.write(pk, list(self.looks.values()))
        return is_ours


def rolled_back() -> None:
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()  # it may be the connection that is broken


@dataclass(eq=False)
class Exchange:
    """A thread hands in what it owes, and takes the next account: `take` is run in the same transaction."""

    owed: Sequence[Ending]
    account_id: int
    take: Callable[[], object]
    lost: list[Ending] = field(default_factory=list)  # not written, as another worker has the lease
    error: BaseException | None = None
    is_done: bool = False

    def steps(self, clock: Clock) -> list[tuple[int, int, Callable[[], object]]]:
        """Each with the account it is about."""

        def write(ending: Ending) -> None:
            if not ending.write(clock, give_back=True):
                self.lost.append(ending)

        owed = [(each.account.pk, 0, partial(write, each)) for each in self.owed]
        return [*owed, (self.account_id, 1, self.take)]


class JointCommits:
    """While one thread commits, the exchanges of the others gather, and the next to get its turn commits them all: what
    waits for the disk waits for it once, together. And SQLite has one writer, for whom others wait in their sleep."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gathered: list[Exchange] = []
        self._gathering, self._committing = threading.Lock(), threading.Lock()

    def run(self, exchange: Exchange) -> None:
        """Raises what went wrong in the transaction, perhaps in another's exchange: then nothing of it is written."""
        with self._gathering:
            self._gathered.append(exchange)
        with self._committing:
            if not exchange.is_done:
                with self._gathering:
                    batch, self._gathered = self._gathered, []
                self._commit(batch)
        if exchange.error is not None:
            raise exchange.error

    def _commit(self, batch: Sequence[Exchange]) -> None:
        try:
            # By account, for all workers alike: of two that hand each other their accounts none waits for the other.
            steps = sorted((step for each in batch for step in each.steps(self._clock)), key=lambda step: step[:2])
            with transaction.atomic():
                for _, _, act in steps:
                    act()
        except BaseException as error:
            rolled_back()
            for each in batch:
                each.lost.clear()
                each.error = error if isinstance(error, Exception) else OperationalError("The writer was stopped.")
            if not isinstance(error, Exception):
                raise  # this thread is told to stop
        finally:
            for each in batch:
                each.is_done = True
