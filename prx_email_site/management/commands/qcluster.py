"""django-q2's own command, without its orphans.

A cluster that is killed leaves its sentinel and workers, which go on taking tasks beside the next cluster's.
"""

from mailbox import schedules
from typing import Any

from django.db import connections
from django.utils import timezone
from django_q.management.commands.qcluster import Command as QClusterCommand
from django_q.tasks import async_task

from outbox import installation
from prx_email_site.orphans import kill_forks_with_their_parent


class Command(QClusterCommand):  # type: ignore[misc]
    def handle(self, *args: Any, **options: Any) -> None:
        # Before the first task: a restored database brings its queue of tasks with it.
        installation.check(timezone.now())
        schedules.pull_back(timezone.now())
        # The dashboard hears of these workers at once, not at the next turn of the clock.
        async_task("mailbox.tasks.beat")
        connections.close_all()  # django-q2 forks
        kill_forks_with_their_parent()
        super().handle(*args, **options)
