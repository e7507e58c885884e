"""manage.py idle: hold a connection to each inbox, and have it synced as soon as its server tells of a change."""

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
    # Not those of pages: they import every page, 50 MB of them.
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
        # Threads that are signing in at this moment would be waited for, or be in the way of the interpreter's end.
        self.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
