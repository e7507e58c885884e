"""Chance, so that many accounts do not do the same thing at the same instant. Pure: the dice are handed in.

A server that was down for an hour fails a thousand accounts alike: without chance they would all come back in the
same second, and again, each time their backoff ends.
"""

from __future__ import annotations

import random

JITTER = 0.2  # of a wait: taken off, so that no wait passes the maximum that was set
AT_EASE = 200  # accounts that may begin at once: `max_concurrency` alone keeps these apart
SECONDS_AN_ACCOUNT = 0.03  # beyond those
dice = random.Random()  # noqa: S311 - not a secret; each process is seeded by the system


def jittered(seconds: float, dice: random.Random = dice, *, at_least: float = 0) -> float:
    """A wait of 80 to 100 % of `seconds`, but never less than `at_least`: what the server itself asked for."""
    return max(seconds * (1 - JITTER * dice.random()), at_least)


def start_after(account_id: int, accounts: int, budget: float, dice: random.Random = dice) -> float:
    """How many seconds into a round of `accounts` this one begins, within half of the round's `budget` of seconds.

    Each account has its own place in the round, the same one each time but for some chance, so that its times are
    evenly apart; a restart, which makes all of them due together, spreads them like any other round.
    """
    window = min(budget / 2, max(0, accounts - AT_EASE) * SECONDS_AN_ACCOUNT)
    place = random.Random(account_id).random()  # noqa: S311
    return window * min(max(place + 0.1 * (dice.random() - 0.5), 0), 1)
