"""django-q2's command, run so that it works or ends, whatever is killed in it: see `prx_email_site.workers`."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.db import connections
from django.utils import timezone
from django_q.conf import Conf
from django_q.management.commands.qcluster import Command as QClusterCommand

from mailbox import schedules
from mailbox.queueing import queue
from outbox import restore_guard
from prx_email_site.parent_death import kill_forks_with_their_parent
from prx_email_site.workers.limits import SupervisorLimits
from prx_email_site.workers.supervisor import Supervisor


class Command(QClusterCommand):  # type: ignore[misc]
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
        sys.exit(status)
