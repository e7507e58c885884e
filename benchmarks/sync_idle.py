"""The rows of `make bench-sync` about push: a process with 1,000 connections in IDLE, its memory, and how soon a new
mail is a row."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import mails
from benchmarks.frame import Figure, Void
from benchmarks.memory import megabytes
from benchmarks.servers import fill, running_dovecot
from benchmarks.site import Inside, Site, account_fields
from benchmarks.sync import Context
from tests.servers.dovecot import Dovecot

CONNECTIONS = 1_000
NEW_MAILS = 40
STANDING_SECONDS = 30  # so that each connection has asked for the account's other folders, and was renewed at need
LONGEST_SECONDS = 180.0
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


def idle(context: Context, memory: Figure, delay: Figure) -> None:
    """Real connections over TLS, one an account; the workers and the server share the cores."""
    count = context.options.amount(CONNECTIONS, 5)
    with ExitStack() as stack:
        stack.enter_context(_one_inotify_each(count))
        server = stack.enter_context(running_dovecot(many_sessions=True))
        site = context.sites.make()
        inside = stack.enter_context(site.inside())
        users = _accounts_in_step(server, site, inside, count)
        stack.enter_context(site.workers())
        begin = time.monotonic()
        push = stack.enter_context(site.service([sys.executable, "manage.py", "idle"], "idle"))
        inside.call("wait_for_connected", count=count, seconds=LONGEST_SECONDS)
        connected = time.monotonic() - begin
        inside.call("wait_until_quiet", seconds=LONGEST_SECONDS)
        time.sleep(STANDING_SECONDS * min(context.options.scale, 1))
        chosen = random.Random(0).sample(users, min(NEW_MAILS, count))
        taken = [_seconds_to_row(server, inside, user, number) for number, user in enumerate(chosen)]
        inside.call("wait_for_connected", count=count, seconds=1)  # all of them still stand
        peak, now = megabytes(push.pid, "status", "VmHWM"), megabytes(push.pid, "smaps_rollup", "Pss")
        threads = len(os.listdir(f"/proc/{push.pid}/task"))
    memory.value = memory.ours = peak
    memory.notes = (
        f"largest resident set; {now:.0f} MB proportional at the end, {threads} threads; "
        f"{count} connected within {connected:.0f} s of the process's start"
    )
    delay.value = delay.ours = max(taken)
    delay.samples = {"ours": taken}
    delay.notes = f"median {statistics.median(taken):.2f} s of {len(taken)}"


def _accounts_in_step(server: Dovecot, site: Site, inside: Inside, count: int) -> list[str]:
    """Accounts of one mail each, which is stored: connecting brings no news then."""
    users = [f"idle{number}@example.test" for number in range(count)]
    for number, user in enumerate(users):
        fill(server, user, [(mails.small_mail(number), mails.received_at(number))])
    fields = account_fields(server, "")
    del fields["email"]
    inside.call("make_accounts", emails=users, **fields)
    site.manage("sync", "--all")
    if (stored := inside.call("stored_of_all")) != count:
        raise Void(f"{stored} of {count} messages are stored")
    return users


def _seconds_to_row(server: Dovecot, inside: Inside, user: str, number: int) -> float:
    """From the server's "stored" to a row of the message."""
    fill(server, user, [(mails.small_mail(number), mails.received_at(number))])
    seconds: float = inside.call("seconds_to_row", email=user, count=2, seconds=LONGEST_SECONDS)
    return seconds


@contextmanager
def _one_inotify_each(count: int) -> Iterator[None]:
    """Dovecot has an inotify instance for each session in IDLE, all of one user here; Linux gives a user 128. A session
    without one looks each half minute, which would be the server's delay and not ours."""
    before = INOTIFY.read_text()
    if int(before) >= count + 64:
        yield
        return
    try:
        INOTIFY.write_text(str(count + 64))
    except OSError as error:
        raise Void(f"{INOTIFY} is below {count + 64} and cannot be raised: {error}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            INOTIFY.write_text(before)
