"""Time limits of a sender, and the lengths of its leases."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from outbox.smtp.connection import SmtpTimeouts

# The longest lease of the outbox. One that ends later was taken by a wrong clock and does not count.
LONGEST_LEASE_SECONDS = 120.0


@dataclass(frozen=True)
class Times:
    """Time limits in seconds. Leases are short, and renewed by live workers, so that a dead worker is noticed soon.

    Rows of a dead worker wait for the end of the lease and the next sweep (30 s), at most a minute in all. Rows claimed
    ahead are not renewed; their lease is a little longer than the wait after which a stalled sender returns them.
    """

    patience: SmtpTimeouts
    claim_lease: float
    dot_lease: float  # lease of a row from the commit of "dot" on
    finalize: float  # how long to retry saving an outcome
    ahead_lease: float = 15
    send_lease: float = 15

    @classmethod
    def from_settings(cls) -> Times:
        """The limits of this installation: a mail, up to the answer to its end, fits into a task's time-out."""
        command, final_dot = settings.COMMAND_TIMEOUT_SECONDS, settings.FINAL_DOT_TIMEOUT_SECONDS
        # The task's time-out, less the wait after the end of the mail, less ten seconds to save the outcome.
        session = settings.TASK_TIMEOUT_SECONDS - final_dot - 10
        return cls(
            SmtpTimeouts(
                settings.CONNECT_TIMEOUT_SECONDS, command, final_dot, max(session, 3 * command), write=3 * command
            ),
            claim_lease=20,
            dot_lease=25,
            finalize=settings.TASK_TIMEOUT_SECONDS,
        )
