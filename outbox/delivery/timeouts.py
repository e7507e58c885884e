"""How long a sender waits for what, and how long its leases hold."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from outbox.smtp.connection import Patience


@dataclass(frozen=True)
class Times:
    """Seconds. Leases are above the waits they cover: a command's, and after "data" body and final dot together.

    What a dead worker leaves behind waits for two of them and for a sweep (30 s), and rows wait for 45 s at most. So
    the account's lease is short and renewed by whoever waits, and rows claimed ahead, which are not begun, are held for
    little longer than the server may keep us waiting before they are given back.
    """

    patience: Patience
    claim_lease: float
    data_lease: float
    finalize: float  # how long to try to write an outcome down
    ahead_lease: float = 15
    send_lease: float = 15

    @classmethod
    def from_settings(cls) -> Times:
        command, final_dot = settings.COMMAND_TIMEOUT_SECONDS, settings.FINAL_DOT_TIMEOUT_SECONDS
        # What a task may take in all, less the final dot and some time to write down what came of it.
        session = settings.TASK_TIMEOUT_SECONDS - final_dot - 10
        return cls(
            Patience(settings.CONNECT_TIMEOUT_SECONDS, command, final_dot, max(session, command)),
            claim_lease=command + 30,
            data_lease=max(session, command) + final_dot + 60,
            finalize=settings.TASK_TIMEOUT_SECONDS,
        )
