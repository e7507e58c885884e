"""Heartbeats of long-running processes: host, role, release and load, every half minute.

Workers write it by their task `beat`. Push and alerts write it from their main loops, so that a hung loop stops it. The
web server and submission have no loop of their own and write it from a thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from mailbox.db import failures
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.logs import event, this_host
from mailbox.models import ProcessHeartbeat

logger = logging.getLogger(__name__)
EVERY = timedelta(seconds=30)
SILENT_AFTER = 3  # intervals without a heartbeat; then the process counts as gone
STARTTIME = 19  # of the fields that follow the name in /proc/PID/stat: clock ticks from the boot of the kernel


def note(role: str, now: datetime, *, pid: int | None = None, every: timedelta = EVERY) -> None:
    """Save the heartbeat of this process, or of the one with `pid`; the next is due within `every`. Also save what this
    process has counted of the database's failures."""
    says = {
        "seen_at": now,
        "silent_at": now + SILENT_AFTER * max(every, EVERY),
        "release": settings.RELEASE,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "processors": os.cpu_count() or 1,
    }
    who = {"host": this_host()[:200], "role": str(role), "pid": os.getpid() if pid is None else pid}
    forget_ended(role)
    ProcessHeartbeat.objects.update_or_create(**who, defaults=says, create_defaults={**says, "started_at": now})
    failures.flush(this_host()[:200], now)


def forget_ended(role: str) -> None:
    """Delete the rows of ended processes of this host and role: after a restart or a stop nobody should miss them."""
    rows = ProcessHeartbeat.objects.filter(host=this_host()[:200], role=str(role), pid__gt=0)
    if ended := [row.pk for row in rows if has_ended(row.pid, row.seen_at)]:
        rows.filter(pk__in=ended).delete()


def forget(role: str, *, pid: int | None = None) -> None:
    """Delete the row of this process, or of the one with `pid`, which stops in order: nobody should miss it. Raises no
    database error: then it is missed for a day."""
    rows = ProcessHeartbeat.objects.filter(host=this_host()[:200], role=str(role))
    with contextlib.suppress(DatabaseError, InterfaceError):
        rows.filter(pid=os.getpid() if pid is None else pid).delete()


def has_ended(pid: int, seen_at: datetime) -> bool:
    """Whether the process of this host that had the number `pid` at `seen_at` has ended.

    A process that began later is another one: a container that is started again counts its processes from 1 again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return True
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[STARTTIME]) / os.sysconf("SC_CLK_TCK")
    return seen_at < timezone.now() - timedelta(seconds=age)


class InLoop:
    """For a main loop: call note() in each round, and it writes every half minute. Raises database errors."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._next = 0.0

    def note(self, now: datetime) -> None:
        """Write the heartbeat if EVERY has passed since the last one."""
        if time.monotonic() >= self._next:
            note(self._role, now)
            self._next = time.monotonic() + EVERY.total_seconds()


def start_noting(role: str, *, pid: int | None = None, also: Sequence[Callable[[], object]] = ()) -> threading.Event:
    """Write heartbeats from a thread, until the returned event is set or the process ends.

    `also`: functions to call each time. If the database fails, the thread tries again half a minute later.
    """
    stop = threading.Event()

    def stay() -> None:
        while True:
            try:
                note(role, timezone.now(), pid=pid)
                for each in also:
                    each()
            except DATABASE_TROUBLE as error:
                event(logger, "presence_not_noted", logging.WARNING, error=str(error)[:160])
            finally:
                connection.close()
            if stop.wait(EVERY.total_seconds()):
                return

    threading.Thread(target=stay, name="process-heartbeat", daemon=True).start()
    return stop
