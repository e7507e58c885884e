"""How long a sender waits for what, and how long its leases hold."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from outbox.smtp.connection import Patience

# No lease of the outbox is longer: one that ends later was taken by a clock that was ahead, and is none.
LONGEST_LEASE_SECONDS = 120.0


@dataclass(frozen=True)
class Times:
    """Seconds. Leases are short and renewed by whoever lives, so that a worker that died is found soon.

    What a dead worker leaves behind waits for a lease and for a sweep (30 s): for at most a minute in all. Rows
    claimed ahead, which are not begun and not renewed, are held for little longer than the server may keep us waiting
    before they are given back.
    """

    patience: Patience
    claim_lease: float
    dot_lease: float  # from the commit of "dot" on
    finalize: float  # how long to try to write an outcome down
    ahead_lease: float = 15
    send_lease: float = 15

    @classmethod
    def from_settings(cls) -> Times:
        command, final_dot = settings.COMMAND_TIMEOUT_SECONDS, settings.FINAL_DOT_TIMEOUT_SECONDS
        # What a task may take in all, less the final dot and some time to write down what came of it.
        session = settings.TASK_TIMEOUT_SECONDS - final_dot - 10
        return cls(
            Patience(
                settings.CONNECT_TIMEOUT_SECONDS, command, final_dot, max(session, 3 * command), write=3 * command
            ),
            claim_lease=20,
            dot_lease=25,
            finalize=settings.TASK_TIMEOUT_SECONDS,
        )
