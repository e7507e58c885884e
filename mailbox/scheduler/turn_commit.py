"""Between two turns: what the one found is written, its lease given back and the next account claimed, in one commit.

With nothing new a commit costs more than all else that is ours. A turn ends and the next begins in the same instant,
so nothing waits for anything: when no turn follows at once, the end is written alone. A kill at any instant leaves
states that are behind and a lease that runs out.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import transaction

from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.keep_alive import LEASE_SECONDS
from mailbox.logs import event
from mailbox.models import Account, Lease
from mailbox.scheduler.group_commit import Ending, Exchange, JointCommits, rolled_back
from mailbox.scheduler.report import Report
from mailbox.sync import state_rows
from mailbox.sync.account_session import WAIT_STEP_SECONDS, Clock, give_back, holder
from mailbox.sync.state_rows import LoadedState

logger = logging.getLogger(__name__)
Crashed = Callable[[Account, str, Exception], None]
TRIES = 3  # of an end while the database is in trouble; then only the lease is given back, once it is over
AGAIN_SECONDS = 0.5


@dataclass(frozen=True)
class Claim:
    """An account as it is under its lease. `token` is None when another worker has the lease."""

    account: Account
    token: str | None
    held: dict[str, LoadedState]


class Desk:
    """One thread's. `crashed` is told of an error that nobody expects, with its account and folder."""

    def __init__(self, clock: Clock, report: Report, crashed: Crashed, commits: JointCommits) -> None:
        self._clock, self._report, self._crashed, self._commits = clock, report, crashed, commits
        self._owed: list[Ending] = []

    def owe(self, ending: Ending) -> None:
        """The turn is over: this is written with the next claim, or by settle()."""
        self._owed.append(ending)

    def claim(self, account_id: int, folders: Sequence[str], wait_seconds: float = 0) -> Claim | None:
        """Take the account's lease, waiting so long for another's, and read what its turn needs. None when the
        account is gone."""
        token, deadline, who = secrets.token_hex(16), time.monotonic() + wait_seconds, holder()
        while True:
            claim = self._with_what_is_owed(account_id, lambda: self._claim(account_id, folders, token, who))
            if claim is None or claim.token or time.monotonic() >= deadline:
                return claim
            time.sleep(WAIT_STEP_SECONDS)

    def _claim(self, account_id: int, folders: Sequence[str], token: str, who: str) -> Claim | None:
        account = state_rows.account_by_pk(account_id)
        if account is None:
            return None
        taken = Lease.acquire(
            account_id, Lease.Purpose.SYNC, who, seconds=LEASE_SECONDS, now=self._clock(), token=token
        )
        return Claim(account, taken, state_rows.states_of(account, folders) if taken else {})

    def _lost(self, ending: Ending, error: Exception | None) -> None:
        """It was not written: another worker has the lease, or the database is in trouble."""
        if not self._forget(ending):
            return
        code = "busy" if error is None else type(error).__name__
        event(
            logger, "turn_not_written", logging.WARNING,
            account=ending.account.pk, error_code=code, run_id=str(self._report.run.run_id),
        )  # fmt: skip

    def _forget(self, ending: Ending) -> list[str]:
        """The folders' names."""
        names = list(ending.looks)
        for name in names:
            self._report.was_not_written(ending.account.pk, name)
        ending.looks.clear()
        return names

    def _with_what_is_owed(self, account_id: int, claim: Callable[[], Claim | None]) -> Claim | None:
        owed, found = self._owed, list[Claim | None]()
        exchange = Exchange(owed, account_id, lambda: found.append(claim()))
        try:
            self._commits.run(exchange)
        except Exception:  # nobody fails for another's sake: each alone
            self.settle()
            with transaction.atomic():
                return claim()
        self._owed = []
        for ending in exchange.lost:
            self._lost(ending, None)
        return found[-1]

    def settle(self) -> None:
        """Write what is owed, each alone. What the database is in trouble for stays owed, for some tries."""
        owed, self._owed = self._owed, []
        for ending in owed:
            try:
                self._write_alone(ending, give_back=True)
            except DATABASE_TROUBLE as error:
                ending.tries += 1
                if ending.tries < TRIES:
                    self._owed.append(ending)
                else:
                    self._lost(ending, error)
                    give_back(ending.account.pk, ending.token)
            except Exception as error:  # a bug: told as in a turn, and the lease is given back as after one
                self._owed.append(ending)
                for name in self._forget(ending):
                    self._crashed(ending.account, name, error)

    def settle_all(self) -> None:
        """Nothing follows: write what is owed, or give it up."""
        self.settle()
        while self._owed:
            time.sleep(AGAIN_SECONDS)
            self.settle()

    def write_so_far(self, ending: Ending) -> bool:
        """Write what a turn that goes on has found, and keep its lease; False when another has taken it."""
        is_ours = self._write_alone(ending, give_back=False)
        ending.looks.clear()
        return is_ours

    def _write_alone(self, ending: Ending, *, give_back: bool) -> bool:
        try:
            with transaction.atomic():
                is_ours = ending.write(self._clock, give_back=give_back)
        except BaseException:
            rolled_back()
            raise
        if not is_ours:
            self._lost(ending, None)
        return is_ours


class Desks:
    """A desk for each thread of a run."""

    def __init__(self, clock: Clock, report: Report, crashed: Crashed) -> None:
        self._given = clock, report, crashed, JointCommits(clock)
        self._local = threading.local()

    @property
    def mine(self) -> Desk:
        desk: Desk | None = getattr(self._local, "desk", None)
        if desk is None:
            desk = self._local.desk = Desk(*self._given)
        return desk

    def settle(self, *, is_last: bool) -> None:
        """Write what this thread owes; `is_last`: no turn of its comes after."""
        if is_last:
            self.mine.settle_all()
        else:
            self.mine.settle()
