"""Jitter for waits, so that many accounts do not all act at the same instant. Pure: the random generator is handed in.

When a server was down for an hour, a thousand accounts have failed together. Without jitter they would all come back in
the same second, each time their backoff ends.
"""

from __future__ import annotations

import random

JITTER = 0.2  # the largest part that is taken off a wait; never added, so that maxima hold
dice = random.Random()  # noqa: S311 - not a secret; each process is seeded by the system


def jittered(seconds: float, dice: random.Random = dice, *, at_least: float = 0) -> float:
    """A wait of 80 to 100 % of `seconds`, but never less than `at_least`, such as what a server asked for."""
    return max(seconds * (1 - JITTER * dice.random()), at_least)
