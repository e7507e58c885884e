"""django-q2's command, which ends if the cluster hangs: see `prx_email_site.workers`."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from typing import Any

from django.core.checks import Tags
from django.db import DatabaseError, connections
from django.utils import timezone
from django_q.conf import Conf
from django_q.management.commands.qcluster import Command as QClusterCommand

from mailbox import process_heartbeats, schedules
from mailbox.models import ProcessHeartbeat, WorkerHeartbeat
from mailbox.queueing import queue
from outbox import restore_guard
from prx_email_site.checks import ENVIRONMENT
from prx_email_site.local_files.scratch_folders import remove_left_ones
from prx_email_site.parent_death import kill_forks_with_their_parent
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.supervisor import Supervisor


class Command(QClusterCommand):  # type: ignore[misc]
    # Without the check of URLs: it imports all pages, which would make the start half as long again.
    requires_system_checks = (ENVIRONMENT, Tags.security)

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        # First, as no restore may begin from here on. The sentinel takes it over, then the workers' task `beat`.
        process_heartbeats.note(ProcessHeartbeat.Role.WORKERS, now)
        remove_left_ones()
        # Before the first task, as a restored database contains its queue of tasks.
        restore_guard.check(now)
        schedules.pull_back(now)
        for task in schedules.first_tasks(now):
            queue(task)
        connections.close_all()  # forks must not share connections
        kill_forks_with_their_parent()
        if options["cluster_name"]:
            os.environ["Q_CLUSTER_NAME"] = options["cluster_name"]  # django-q2 reads it from here
        supervisor = Supervisor(Conf.WORKERS, SupervisorLimits.from_settings())
        status = supervisor.run(once=options["run_once"])
        supervisor.signals.ignore()
        if status == 0:
            _forget_heartbeats()
        sys.exit(status)


def _forget_heartbeats() -> None:
    """Delete the heartbeats of this and other ended clusters of this host, so that they are not reported as gone."""
    rows = WorkerHeartbeat.objects.filter(host=platform.node() or "localhost")
    gone = [row.pk for row in rows if process_heartbeats.has_ended(row.cluster_pid, row.seen_at)]
    with contextlib.suppress(DatabaseError):  # then the cluster is reported as gone
        rows.filter(pk__in=gone).delete()
        process_heartbeats.forget_ended(ProcessHeartbeat.Role.WORKERS)
