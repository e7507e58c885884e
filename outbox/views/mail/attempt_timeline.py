"""The time line of an attempt: the steps of SMTP that it reached. Pure.

Each step begins after the reply to the one before, so the last phase reached determines all steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from outbox.models import DeliveryAttempt

Phase = DeliveryAttempt.Phase
Outcome = DeliveryAttempt.Outcome
# Without the claim, which does not involve the server.
STEPS = (Phase.CONNECT, Phase.TLS, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT, Phase.ACCEPTED)


class Reached(StrEnum):
    """How far an attempt came with a step; the value is a CSS class."""

    NOT = ""
    YES = "reached"
    STOPPED = "stopped"  # the step at which the attempt failed


@dataclass(frozen=True)
class TimelineStep:
    """A step by its translated name, and how the attempt passed it."""

    label: str
    reached: Reached


def steps_of(attempt: DeliveryAttempt) -> list[TimelineStep]:
    """All STEPS of an attempt, in order; the last one reached is STOPPED if the attempt ended without acceptance."""
    order = [phase.value for phase in STEPS]
    last = order.index(attempt.phase) if attempt.phase in order else -1
    failed = attempt.outcome not in (Outcome.RUNNING, Outcome.ACCEPTED, Outcome.PARTIAL)
    drawn = []
    for index, phase in enumerate(STEPS):
        reached = Reached.YES if index <= last else Reached.NOT
        if failed and index == last:
            reached = Reached.STOPPED
        drawn.append(TimelineStep(str(phase.label), reached))
    return drawn
