"""manage.py conversations: link messages that an older version stored without conversations. New mail has links."""

from typing import Any

from django.core.management.base import BaseCommand

from mailbox.messages import conversations

SLICE = 5_000


class Command(BaseCommand):
    help = "Put messages that were stored by an older version into their conversations. Safe at any time, and again."

    def handle(self, *args: Any, **options: Any) -> None:
        total = 0
        while linked := conversations.link_missing(SLICE):
            total += linked
            self.stdout.write(f"{total:,} messages linked")
        self.stdout.write("Every message is in its conversation.")
