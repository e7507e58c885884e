"""django-q2's command, run so that it works or ends, whatever is killed in it: see `prx_email_site.workers`."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

from django.core.checks import Tags
from django.db import DatabaseError, connections
from django.utils import timezone
from django_q.conf import Conf
from django_q.management.commands.qcluster import Command as QClusterCommand

from mailbox import presence, schedules
from mailbox.models import ProcessHeartbeat, WorkerHeartbeat
from mailbox.queueing import queue
from outbox import restore_guard
from prx_email_site.checks import ENVIRONMENT
from prx_email_site.parent_death import kill_forks_with_their_parent
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.supervisor import Supervisor


class Command(QClusterCommand):  # type: ignore[misc]
    # Not that of the addresses: it imports every page, which takes as long as half of all else before the first task.
    requires_system_checks = (ENVIRONMENT, Tags.security)

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        # Before the first task: a restored database brings its queue of tasks with it.
        restore_guard.check(now)
        schedules.pull_back(now)
        for task in schedules.first_tasks(now):
            queue(task)
        connections.close_all()  # forks follow
        kill_forks_with_their_parent()
        if options["cluster_name"]:
            os.environ["Q_CLUSTER_NAME"] = options["cluster_name"]  # where django-q2 looks for it
        supervisor = Supervisor(Conf.WORKERS, SupervisorLimits.from_settings())
        status = supervisor.run(once=options["run_once"])
        supervisor.signals.ignore()
        if status == 0:
            _forget_heartbeats()
        sys.exit(status)


def _forget_heartbeats() -> None:
    """A cluster stopped in order is no host that is gone: its heartbeats go, and those of former ones on this host."""
    rows = WorkerHeartbeat.objects.filter(host=platform.node() or "localhost")
    gone = [row.pk for row in rows if not Path(f"/proc/{row.cluster_pid}").exists()]
    with contextlib.suppress(DatabaseError):  # what cannot be said now is said by the silence
        rows.filter(pk__in=gone).delete()
        presence.forget_ended(ProcessHeartbeat.Role.WORKERS)
