"""Kills a process that hands over a mail at each of its instructions that other processes can see the effect of."""

from __future__ import annotations

from pathlib import Path

from tests.servers.forked import Forked

# Hands over a mail for each number: in a process that kills itself when it comes to this moment for the number's time,
# until one comes to its end before that.
_KILLED = """
import django, json, os, signal, sys
django.setup()
from django.db import connection
__BEFORE__
moment, secret, account, ended = sys.argv[1:]
left = 0
def tick():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
def with_tick(step, before):
    def stepped(*args, **kwargs):
        if before:
            tick()
        answer = step(*args, **kwargs)
        if not before:
            tick()
        return answer
    return stepped
def ask(number):
    global left
    if moment == "before a statement":
        connection.execute_wrappers.append(lambda execute, *given: with_tick(execute, True)(*given))
    elif moment == "behind a commit":
        connection._commit = with_tick(connection._commit, False)
    else:
        os.fsync = with_tick(os.fsync, moment.startswith("before"))
    __HAND_OVER__
number, status = 0, -signal.SIGKILL
while status == -signal.SIGKILL:
    number += 1
    pid = os.fork()
    if pid == 0:
        ask(number)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert status == 0
open(ended, "w").write(str(number))
"""
MOMENTS = ("before a statement", "behind a commit", "before a write is durable", "behind a durable write")
SHORT = "behind a durable write"
FEWEST = {"before a statement": 10, "behind a commit": 2, "before a write is durable": 1, SHORT: 1}


def hand_over_and_die(before: str, hand_over: str, moment: str, secret: str, account: int, folder: Path) -> int:
    """Run it; returns how many mails were handed over, the last of them to its end.

    before: code that runs once. hand_over: code that hands over mail `number` with `secret` for `account`; it sets
    `left` to `number` where instructions begin to count, and ends with os._exit, 0 where the mail was accepted.
    """
    code = _KILLED.replace("__BEFORE__", before).replace("__HAND_OVER__", hand_over.strip().replace("\n", "\n    "))
    assert Forked(code, moment, secret, account, folder / "ended").wait(300) == 0
    last = int((folder / "ended").read_text())
    assert last > FEWEST[moment]
    return last
