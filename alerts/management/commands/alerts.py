"""manage.py alerts: find incidents and send notices, apart from the workers, which cannot report that they are gone."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections
from django.utils import timezone

from alerts import tasks
from mailbox import process_heartbeats, schedules
from mailbox.logs import event
from mailbox.management.stop_signals import StopSignals
from mailbox.models import ProcessHeartbeat

logger = logging.getLogger(__name__)
BY_CRON = timedelta(minutes=1)  # each minute


class Command(BaseCommand):
    help = "Look for incidents and tell them: once (for cron), or each --every seconds until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=int, metavar="SECONDS", help="stay, and look this often")

    def handle(self, *args: Any, **options: Any) -> None:
        every = options["every"]
        if every is not None and every < 1:
            raise CommandError("--every is a number of seconds, 1 or more; leave it out to look once.")
        if every is None:
            process_heartbeats.note(ProcessHeartbeat.Role.ALERTS, timezone.now(), pid=0, every=BY_CRON)
            look()
            return
        signals = StopSignals()
        while not signals.wait(every):
            close_old_connections()
            try:
                process_heartbeats.note(ProcessHeartbeat.Role.ALERTS, timezone.now(), every=timedelta(seconds=every))
                look()
            except Exception as error:  # this process must survive an outage of the database, and a fault of ours
                event(logger, "alerts_not_looked_for", logging.WARNING, error=str(error))
        process_heartbeats.forget(ProcessHeartbeat.Role.ALERTS)


def look() -> None:
    """Find incidents and send notices; before, correct schedules that a wrong clock has set too far ahead. That is done
    here, as the workers run by these schedules."""
    schedules.pull_back(timezone.now())
    tasks.watch(foreground=True)
