"""How far an attempt came, step by step, as its time line draws it. Pure.

Each step waited for the answer to the one before it, so the last one tells of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from outbox.models import DeliveryAttempt

Phase = DeliveryAttempt.Phase
Outcome = DeliveryAttempt.Outcome
# The claim itself is no step towards the server.
STEPS = (Phase.CONNECT, Phase.TLS, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT, Phase.ACCEPTED)


class Reached(StrEnum):
    NOT = ""
    YES = "reached"
    STOPPED = "stopped"  # here the attempt ended


@dataclass(frozen=True)
class TimelineStep:
    label: str
    reached: Reached


def steps_of(attempt: DeliveryAttempt) -> list[TimelineStep]:
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
