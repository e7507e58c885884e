"""How far an attempt came, step by step, as its time line draws it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from outbox.models import DeliveryAttempt

Phase = DeliveryAttempt.Phase
Outcome = DeliveryAttempt.Outcome
# The claim itself is no step towards the server.
STEPS = (Phase.CONNECT, Phase.TLS, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.ACCEPTED)
# A mail that goes unasked (smtp.pipelined) follows them before they are answered, and "data" is committed before it.
SAID_UNASKED = (Phase.MAIL, Phase.RCPT)


class Reached(StrEnum):
    NOT = ""
    YES = "reached"
    STOPPED = "stopped"  # here the attempt ended
    REFUSED = "refused"  # and yet the attempt went on: the mail was written already
    SAID = "said"  # the attempt goes on, and what it has heard since is written down at its end
    UNANSWERED = "unanswered"  # perhaps said; no answer is known


@dataclass(frozen=True)
class Step:
    label: str
    reached: Reached


def steps_of(attempt: DeliveryAttempt) -> list[Step]:
    order = [phase.value for phase in STEPS]
    last = order.index(attempt.phase) if attempt.phase in order else -1
    failed = attempt.outcome not in (Outcome.RUNNING, Outcome.ACCEPTED, Outcome.PARTIAL)
    drawn = []
    for index, phase in enumerate(STEPS):
        reached = Reached.YES if index <= last else Reached.NOT
        if failed and index == last:
            reached = Reached.STOPPED
        elif phase in SAID_UNASKED and attempt.phase == Phase.DATA:
            # Beyond it the answers are known, before it each step waited for the answer to the one before.
            reached = _answered(phase, attempt.transcript)
            if reached is Reached.UNANSWERED and attempt.outcome == Outcome.RUNNING:
                reached = Reached.SAID
        drawn.append(Step(str(phase.label), reached))
    return drawn


def _answered(phase: Phase, transcript: Iterable[Mapping[str, Any] | object]) -> Reached:
    """By what was heard: a worker that was killed after "data" had heard nothing, or took it with it."""
    heard = [entry for entry in transcript if isinstance(entry, Mapping) and entry.get("phase") == phase.value]
    if not heard:
        return Reached.UNANSWERED
    return Reached.YES if any(str(entry.get("reply", "")).startswith("2") for entry in heard) else Reached.REFUSED
