"""manage.py backup DIR|s3://…: add a backup to a folder or to a bucket, while the installation runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from prx_email_site.backup import making, places
from prx_email_site.backup.faults import BackupFault
from prx_email_site.backup.manifest import Backup, Manifest


class Command(BaseCommand):
    help = "Back up the database and the stored mail into a folder or on S3. The keys are kept apart: --keys FILE."

    def add_arguments(self, parser: CommandParser) -> None:
        words = "a folder, or s3://BUCKET/PREFIX; segments that it holds already are not copied again"
        parser.add_argument("target", metavar="DIR|s3://…", help=words)
        parser.add_argument("--keys", type=Path, metavar="FILE", help="write the keys to this file, elsewhere")
        parser.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N backups that are there")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["keep"] is not None and options["keep"] < 1:
            raise CommandError("--keep is the number of backups that stay, 1 or more.")
        try:
            store = places.at(options["target"])
            backup = making.make(store, timezone.now())
            if options["keys"]:
                making.write_keys(options["keys"], store)
            if options["keep"] is not None:
                making.forget(store, options["keep"])
            made = backup.read()
        except (BackupFault, OSError) as error:
            raise CommandError(str(error)) from error
        self._say(backup, made, as_json=options["json"])

    def _say(self, backup: Backup, made: Manifest, *, as_json: bool) -> None:
        rows = sum(made.counts.values())
        if as_json:
            said = {"ok": not made.missing, "backup": str(backup), "rows": rows, "segments": len(made.segments)}
            self.stdout.write(json.dumps({**said, "missing": made.missing}))
        else:
            self.stdout.write(f"{backup}: {rows:,} rows, {len(made.segments):,} segments of stored mail.")
        if made.missing:
            raise CommandError(
                f"{len(made.missing)} segments are missing in the raw store, the first: {made.missing[0]}"
            )
