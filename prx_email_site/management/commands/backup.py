"""manage.py backup DIR: add a backup to a folder, while the installation runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from prx_email_site.backup import making, manifest
from prx_email_site.backup.manifest import BackupFault


class Command(BaseCommand):
    help = "Back up the database and the stored mail into a folder. The keys are kept apart: --keys FILE."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "folder", type=Path, metavar="DIR", help="segments that it holds already are not copied again"
        )
        parser.add_argument("--keys", type=Path, metavar="FILE", help="write the keys to this file, elsewhere")
        parser.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N backups of the folder")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["keep"] is not None and options["keep"] < 1:
            raise CommandError("--keep is the number of backups that stay, 1 or more.")
        try:
            place = making.make(options["folder"], timezone.now())
            if options["keys"]:
                making.write_keys(options["keys"], options["folder"])
            if options["keep"] is not None:
                making.forget(options["folder"], options["keep"])
        except (BackupFault, OSError) as error:
            raise CommandError(str(error)) from error
        self._say(place, as_json=options["json"])

    def _say(self, place: Path, *, as_json: bool) -> None:
        made = manifest.read(place)
        rows = sum(made.counts.values())
        if as_json:
            said = {"ok": not made.missing, "backup": str(place), "rows": rows, "segments": len(made.segments)}
            self.stdout.write(json.dumps({**said, "missing": made.missing}))
        else:
            self.stdout.write(f"{place}: {rows:,} rows, {len(made.segments):,} segments of stored mail.")
        if made.missing:
            raise CommandError(
                f"{len(made.missing)} segments are missing in the raw store, the first: {made.missing[0]}"
            )
