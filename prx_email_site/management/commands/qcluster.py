"""django-q2's own command, without its orphans, and ended by any number of signals at any moment.

A cluster that is killed leaves its sentinel and workers, which go on taking tasks beside the next cluster's. A cluster
stopped by a second SIGTERM while it handles the first, or by one in the moment of its start, waits for a lock that it
holds itself, and its workers go on without it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from django.db import connections
from django.utils import timezone
from django_q import cluster
from django_q.management.commands.qcluster import Command as QClusterCommand
from django_q.tasks import async_task

from mailbox import schedules
from mailbox.management.stop_signals import StopSignals
from outbox import restore_guard
from prx_email_site.parent_death import kill_forks_with_their_parent

LOOK_SECONDS = 0.5  # between two looks whether the workers ended by themselves
# A worker's thread whose socket or disk is ready waits so long for one that computes. Python's own 5 ms are longer
# than most of our waits, and several sessions that are opened at once wait for one another many times.
SWITCH_SECONDS = 0.0005


class Cluster(cluster.Cluster):  # type: ignore[misc]
    """Stops outside its signal handlers, once it has started."""

    def __init__(self) -> None:
        super().__init__()
        self.signals = StopSignals()  # in place of the handlers that django-q2 has just set

    def run(self, *, once: bool) -> None:
        """Until a signal, or until the workers end by themselves; `once` starts and stops."""
        sys.setswitchinterval(SWITCH_SECONDS)  # the workers are forked and have it too
        self.start()
        while not once and self.sentinel.is_alive() and not self.signals.wait(LOOK_SECONDS):
            pass
        self.stop()


class Command(QClusterCommand):  # type: ignore[misc]
    def handle(self, *args: Any, **options: Any) -> None:
        # Before the first task: a restored database brings its queue of tasks with it.
        restore_guard.check(timezone.now())
        schedules.pull_back(timezone.now())
        # The dashboard hears of these workers at once, not at the next turn of the clock.
        async_task("mailbox.tasks.beat")
        connections.close_all()  # django-q2 forks
        kill_forks_with_their_parent()
        if options["cluster_name"]:
            os.environ["Q_CLUSTER_NAME"] = options["cluster_name"]  # where django-q2 looks for it
        cluster = Cluster()
        cluster.run(once=options["run_once"])
        cluster.signals.ignore()
