"""Chance, so that many accounts do not do the same thing at the same instant. Pure: the dice are handed in.

A server that was down for an hour fails a thousand accounts alike: without chance they would all come back in the
same second, and again, each time their backoff ends.
"""

from __future__ import annotations

import random

JITTER = 0.2  # of a wait: taken off, so that no wait passes the maximum that was set
dice = random.Random()  # noqa: S311 - not a secret; each process is seeded by the system


def jittered(seconds: float, dice: random.Random = dice, *, at_least: float = 0) -> float:
    """A wait of 80 to 100 % of `seconds`, but never less than `at_least`: what the server itself asked for."""
    return max(seconds * (1 - JITTER * dice.random()), at_least)
