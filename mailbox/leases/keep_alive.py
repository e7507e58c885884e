"""Repeats short acts while a process works: renewing leases, updating the time at which a run was last seen.

They run on one thread a process, so that a slow server or a long parse does not let a lease expire. That allows short
leases: when the process dies, its accounts are free after LEASE_SECONDS. While the database fails, the acts are tried
again every second.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.db import connection

from mailbox.db.errors import DATABASE_TROUBLE, close_if_broken
from mailbox.logs import event

logger = logging.getLogger(__name__)
LEASE_SECONDS = 30.0
BEAT_SECONDS = 8.0  # three beats within LEASE_SECONDS
AGAIN_SECONDS = 1.0  # between tries while the database fails
Act = Callable[[], bool]  # returns False when it is done and must not be called again


class KeepAlive:
    """Calls each registered act every BEAT_SECONDS, on a thread of its own with a database connection of its own."""

    def __init__(self) -> None:
        self.forget_all()

    def forget_all(self) -> None:
        """Forget all acts. A forked child calls it, since thread and leases belong to its parent."""
        self._acts: list[Act] = []
        self._lock = threading.Lock()
        self._soon = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, act: Act) -> None:
        """Call `act` at each beat from the next one on."""
        with self._lock:
            self._acts.append(act)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="keep-alive", daemon=True)
                self._thread.start()

    def remove(self, act: Act) -> None:
        """Call `act` no more. A beat that has begun may still call it once, which must do no harm."""
        with self._lock, suppress(ValueError):
            self._acts.remove(act)

    @contextmanager
    def during(self, act: Act) -> Iterator[None]:
        """Have the act called every BEAT_SECONDS while the `with` block runs."""
        self.add(act)
        try:
            yield
        finally:
            self.remove(act)

    def do_until_done(self, act: Act) -> None:
        """Call `act` now. If the database fails, call it again until it succeeds, as long as this process lives."""
        try:
            act()
        except DATABASE_TROUBLE:
            close_if_broken()
            self.add(act)
            self._soon.set()

    def beat(self) -> bool:
        """Call each act once; return False when the database failed. Raises nothing."""
        with self._lock:
            acts = list(self._acts)
        went_well = [self._is_well(act) for act in acts]
        return all(went_well)

    def _is_well(self, act: Act) -> bool:
        try:
            if not act():
                self.remove(act)
        except DATABASE_TROUBLE as error:
            event(logger, "not_renewed", logging.WARNING, error=f"{type(error).__name__}: {error}"[:160])
            connection.close()
            return False
        except Exception:
            logger.exception("keep_alive_crashed")
        return True

    def _run(self) -> None:
        wait = BEAT_SECONDS
        while True:
            self._soon.wait(wait)
            self._soon.clear()
            with self._lock:
                if not self._acts:
                    self._thread = None
                    return
            wait = BEAT_SECONDS if self.beat() else AGAIN_SECONDS
            connection.close()


keep_alive = KeepAlive()
os.register_at_fork(after_in_child=keep_alive.forget_all)
