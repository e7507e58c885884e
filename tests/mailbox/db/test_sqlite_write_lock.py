"""Delivery workers of one SQLite database take turns; a process stopped in its turn holds up nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from django.db import connection

from mailbox.db import sqlite_write_lock
from outbox.delivery.database import Database, complete
from outbox.models import DeliveryCall
from tests.servers.site import ROOT, environment

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has many writers"),
]
HOLDER = """
import django, sys, time
django.setup()
from mailbox.db import sqlite_write_lock as turns
with turns.WriteTurn():
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def stopped() -> Iterator[subprocess.Popen[str]]:
    """A real delivery worker that was stopped (SIGSTOP) when it had just been given its turn."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "mine\n"
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.wait()
    sqlite_write_lock._impatient_until = 0.0


def seconds_of_a_commit(pk: int) -> float:
    begin = time.monotonic()
    database = Database()
    complete(database.write(lambda: DeliveryCall.objects.create(pk=pk)))
    return time.monotonic() - begin


def test_a_stopped_process_costs_the_others_one_short_wait(stopped: subprocess.Popen[str]) -> None:
    assert sqlite_write_lock.MOST_SECONDS <= seconds_of_a_commit(400) < sqlite_write_lock.MOST_SECONDS + 2
    assert max(seconds_of_a_commit(pk) for pk in range(401, 411)) < sqlite_write_lock.MOST_SECONDS / 2
    assert DeliveryCall.objects.filter(pk__gte=400).count() == 11


def test_when_it_goes_on_turns_are_taken_again(stopped: subprocess.Popen[str]) -> None:
    seconds_of_a_commit(420)
    stopped.kill()
    stopped.wait()
    assert seconds_of_a_commit(421) < sqlite_write_lock.MOST_SECONDS / 2

    holder = os.open(f"{connection.settings_dict['NAME']}-turn", os.O_RDWR)
    with sqlite_write_lock.WriteTurn(), pytest.raises(BlockingIOError):
        sqlite_write_lock.fcntl.flock(holder, sqlite_write_lock.fcntl.LOCK_EX | sqlite_write_lock.fcntl.LOCK_NB)
    os.close(holder)


ALWAYS = """
import django, sys, time
django.setup()
from mailbox.db import sqlite_write_lock as turns
while True:
    with turns.WriteTurn():
        print("mine", flush=True)
        time.sleep(0.005)
"""


def test_a_process_that_always_writes_leaves_others_their_turns() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ALWAYS], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "mine\n"
        for _ in range(20):
            with sqlite_write_lock.WriteTurn() as turn:
                assert turn.is_ours
    finally:
        process.kill()
        process.wait()
        sqlite_write_lock._impatient_until = 0.0


# Forked from a process that has the lock files open, like a worker, and without a free descriptor at its first turns.
FORKED = """
import django, os, resource
django.setup()
from mailbox.db import sqlite_write_lock as turns
with turns.WriteTurn():
    pass
if not (child := os.fork()):
    inherited = [descriptor for _pid, descriptor in turns._opened.values()]
    lowest = min(inherited)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, 4096))
    for _ in range(2):
        with turns.WriteTurn() as turn:
            assert not turn.is_ours
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]  # the database's and a server's, with these numbers
    with turns.WriteTurn() as turn:
        assert turn.is_ours
    for each in taken:
        os.fstat(each)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_process_without_a_free_descriptor_writes_without_a_turn_and_closes_no_file_of_another() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
