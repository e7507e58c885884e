"""manage.py restore BACKUP: put a backup in place of an empty installation, which then waits with sending paused."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from prx_email_site.backup import manifest, restoring
from prx_email_site.backup.faults import BackupFault


class Command(BaseCommand):
    help = "Restore a backup into a database without accounts. Sending starts paused."
    requires_system_checks = []  # they read tables, which may not be there yet

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "backup", metavar="BACKUP", help="a backup, or a folder or s3:// address of them: its newest one"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            stated = restoring.restore(manifest.find(options["backup"]), timezone.now())
        except (BackupFault, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Restored the backup of {stated.made_at:%Y-%m-%d %H:%M} UTC. Sending is paused: look through the outbox, "
            f"cancel what went out since, then resume."
        )
        if stated.missing:
            raise CommandError(f"{len(stated.missing)} segments were missing when it was made: {stated.missing[0]}, …")
