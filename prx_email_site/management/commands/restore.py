"""manage.py restore BACKUP: restores a backup into an empty installation, which then has sending paused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from mailbox.management.base import RefusingCommand
from prx_email_site.backup import manifest, restoring
from prx_email_site.backup.faults import BackupFault, SegmentMissing, code_of


class Command(RefusingCommand):
    help = "Restore a backup into a database without accounts. Sending starts paused."
    requires_system_checks = []  # they read tables, which may not exist yet

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "backup", metavar="BACKUP", help="a backup, or a folder or s3:// address of them: its newest one"
        )
        words = "the file with the private key that opens an encrypted backup"
        parser.add_argument("--identity", type=Path, metavar="FILE", help=words)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            stated = restoring.restore(manifest.find(options["backup"], options["identity"]), timezone.now())
        except (BackupFault, OSError) as error:
            self.fail(str(error), as_json=options["json"], code=code_of(error))
        lacks, wrong = "", None
        if stated.missing:
            lacks = f"{len(stated.missing)} segments were missing when it was made: {stated.missing[0]}, …"
            wrong = {"code": SegmentMissing.__name__, "message": lacks}
        if options["json"]:
            said = {"ok": not lacks, "made_at": stated.made_at.isoformat(), "missing": stated.missing, "error": wrong}
            self.print_json(said)
            if lacks:
                self.stderr.write(lacks)
                sys.exit(1)
            return
        self.stdout.write(
            f"Restored the backup of {stated.made_at:%Y-%m-%d %H:%M} UTC. Sending is paused. Mail that waited then "
            f"needs a decision in the outbox, as it may have gone out since: resuming sends only what is new."
        )
        if lacks:
            raise CommandError(lacks)
