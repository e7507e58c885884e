"""`manage.py qcluster` on a machine of its own whose clock is wrong.

python -m tests.servers.skewed_cluster NAME SKEW LEASE
Everything is as manage.py starts it but four things: what the machine is called, what time it is there (seconds beside
the true time), how many seconds a row's claim holds, and how many accounts a worker has in hand, those whose server is
silent among them. The first two are a machine's own; leases of a fraction of a second make every slow answer one in
which a lease runs out; and no machine can have so many accounts that nothing is left for the others.
"""

from __future__ import annotations

import datetime
import socket
import sys

import django
from django.core.management import execute_from_command_line
from django.utils import timezone


def main(name: str, skew: float, lease: float) -> None:
    now = timezone.now

    def their_now() -> datetime.datetime:
        return now() + datetime.timedelta(seconds=skew)

    timezone.now = their_now  # before any module of ours binds it
    socket.gethostname = lambda: name
    django.setup()

    from outbox.delivery import worker as delivery_worker
    from outbox.delivery.timeouts import Times
    from outbox.smtp.connection import SmtpTimeouts

    delivery_worker.MOST_ROUNDS = 2
    times = Times(SmtpTimeouts(10, 60, 60, 120), claim_lease=lease, dot_lease=lease, finalize=30)
    Times.from_settings = classmethod(lambda cls: times)  # type: ignore[method-assign, assignment]
    execute_from_command_line(["manage.py", "qcluster"])


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
