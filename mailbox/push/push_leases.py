"""Which accounts this process listens to: the push processes of all hosts divide the accounts among them by leases.

The leases of a process that died expire within LEASE_SECONDS; then the others take its accounts.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.conf import settings

from mailbox.logs import this_host
from mailbox.models import Lease, PushHeartbeat

LEASE_SECONDS = PushHeartbeat.LEASE.total_seconds()
BEAT_SECONDS = 6.0
GIVEN_BACK_AT_ONCE = 50  # accounts above our share that one look releases; they stay with us until another takes them
FORGOTTEN_AFTER = timedelta(hours=1)  # then the row of a process that ended is deleted
PUSH = Lease.Purpose.PUSH


def fair_number(accounts: int, processes: int, most: int) -> int:
    """How many accounts one process listens to: an equal part of all, rounded up, at most `most`."""
    return min(-(-accounts // max(processes, 1)), most)


class PushLeases:
    """The accounts whose push lease this process holds (`held`). A method that raises has changed nothing."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.held: set[int] = set()
        self._who = this_host()[:200], os.getpid()
        self._renewed_at = self._next_beat = 0.0
        self._told: Mapping[str, str] | None = None

    def has_lapsed(self, at: float) -> bool:
        """Whether our leases have expired, so that other processes may hold the accounts. `at`: time.monotonic()."""
        return bool(self.held) and at - self._renewed_at > LEASE_SECONDS

    def lose(self) -> None:
        """Forget all held accounts, as other processes may hold their leases by now; the next `keep` beats at once."""
        self.held, self._next_beat = set(), 0.0

    def keep(self, states: Mapping[str, str], now: datetime) -> None:
        """Write our heartbeat and renew the leases, every BEAT_SECONDS, or at once when `states` changed.

        An account whose lease another process took leaves `held`.
        """
        at = time.monotonic()
        if at >= self._next_beat:
            if self._told is None:
                release_leases_of_the_dead()
            ours = Lease.objects.filter(purpose=PUSH, token=self.token)
            ours.update(expires_at=now + PushHeartbeat.LEASE)
            self.held &= set(ours.values_list("account_id", flat=True))
            self._renewed_at = at
        elif states == self._told:
            return
        PushHeartbeat.beat(self.token, *self._who, states, now)
        if at >= self._next_beat:
            PushHeartbeat.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()
            self._next_beat = at + BEAT_SECONDS
        self._told = dict(states)

    def too_many(self, wanted: Collection[int], now: datetime) -> set[int]:
        """Accounts to release: those that no longer want push, and those above our share (a few at a time)."""
        unwanted = self.held - set(wanted)
        surplus = len(self.held) - len(unwanted) - self._fair(wanted, now)
        rest = sorted(self.held - unwanted, reverse=True)
        return unwanted | set(rest[: min(max(surplus, 0), GIVEN_BACK_AT_ONCE)])

    def give_back(self, accounts: Collection[int]) -> None:
        """Release these accounts' leases, so that another process takes them at once."""
        Lease.release_all([(pk, self.token) for pk in accounts], PUSH)
        self.held -= set(accounts)

    def take(self, wanted: Collection[int], now: datetime) -> None:
        """Take the leases of accounts that no process listens to, up to our share."""
        room = self._fair(wanted, now) - len(self.held)
        missing = [pk for pk in wanted if pk not in self.held]
        if room <= 0 or not missing:
            return
        others = Lease.objects.filter(purpose=PUSH, expires_at__gt=now).exclude(token=self.token)
        taken = set(others.values_list("account_id", flat=True))
        free = [pk for pk in missing if pk not in taken][:room]
        holder = "{}/{}".format(*self._who)
        at = time.monotonic()
        got = Lease.acquire_all(free, PUSH, holder, seconds=LEASE_SECONDS, now=now, token=self.token)
        if got and not self.held:
            self._renewed_at = at
        self.held |= got

    def end(self) -> None:
        """Release all leases, so that other processes take the accounts at once."""
        PushHeartbeat.release(self.token)
        self.held = set()

    def _fair(self, wanted: Collection[int], now: datetime) -> int:
        return fair_number(len(wanted), PushHeartbeat.objects.listening(now).count(), settings.PUSH_CONNECTIONS)


def release_leases_of_the_dead() -> None:
    """Release the leases of push processes of this machine that were killed, rather than wait until they expire."""
    for row in PushHeartbeat.objects.filter(host=this_host()[:200]).exclude(token=""):
        try:
            os.kill(row.pid, 0)
        except ProcessLookupError:
            PushHeartbeat.release(row.token)
        except PermissionError:
            pass
