"""manage.py idle: keep a connection to each inbox (IMAP IDLE) and queue a sync when its server reports a change."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from mailbox.push.listener import Listener
from mailbox.tasks import sync as sync_tasks


class Command(BaseCommand):
    help = "Listen for new mail (IMAP IDLE) until SIGTERM. The processes of all hosts divide the accounts."
    # Not the checks of URLs and pages, which import all pages (50 MB).
    requires_system_checks = ("environment", Tags.security)

    def handle(self, *args: Any, **options: Any) -> None:
        listener = Listener(sync_tasks.queue_pushed_sync)

        def stop(_number: int, _frame: FrameType | None) -> None:
            listener.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        self.stdout.write("Listening for new mail; SIGTERM stops.")
        self.stdout.flush()
        listener.run()
        # os._exit, as a normal exit would wait for threads that are signing in, or fail while they still run.
        self.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
