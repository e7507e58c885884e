"""manage.py backup DIR|s3://…: adds a backup to a folder or to a bucket, while the installation runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from mailbox.management.base import RefusingCommand
from prx_email_site.backup import databases, destinations, making
from prx_email_site.backup.faults import BackupFault, SegmentMissing, code_of
from prx_email_site.backup.manifest import Backup, Manifest


class Command(RefusingCommand):
    help = "Back up the database and the stored mail into a folder or on S3. The keys are kept apart: --keys FILE."

    def add_arguments(self, parser: CommandParser) -> None:
        words = "a folder, or s3://BUCKET/PREFIX; segments that it holds already are not copied again"
        parser.add_argument("target", metavar="DIR|s3://…", help=words)
        parser.add_argument("--keys", type=Path, metavar="FILE", help="write the keys to this file, elsewhere")
        words = "remove all but the newest N backups that are there, unless this one lacks stored mail"
        parser.add_argument("--keep", type=int, metavar="N", help=words)
        words = "encrypt for this public key: age1…, or ssh-ed25519 … or ssh-rsa …; may be given more than once"
        parser.add_argument("--encrypt-to", action="append", default=[], metavar="RECIPIENT", help=words)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["keep"] is not None and options["keep"] < 1:
            raise CommandError("--keep is the number of backups that stay, 1 or more.")
        try:
            store = destinations.at(options["target"])
            backup = making.make(store, timezone.now(), options["encrypt_to"], self.stderr.write)
            if options["keys"]:
                making.write_keys(options["keys"], store)
            made = backup.read()
            if options["keep"] is not None and not made.missing:  # else an older one may have what this one lacks
                making.forget(store, options["keep"])
        except (BackupFault, OSError) as error:
            self.fail(str(error), as_json=options["json"], code=code_of(error))
        self._say(backup, made, as_json=options["json"])

    def _say(self, backup: Backup, made: Manifest, *, as_json: bool) -> None:
        rows, lacks, error = sum(made.counts.values()), "", None
        if warning := databases.restore_warning():
            self.stderr.write(f"WARNING: {warning}")
        if made.missing:
            lacks = f"{len(made.missing)} segments are missing in the raw store, the first: {made.missing[0]}"
            error = {"code": SegmentMissing.__name__, "message": lacks}
        if as_json:
            said = {"ok": not lacks, "backup": str(backup), "rows": rows, "segments": len(made.segments)}
            self.print_json({**said, "missing": made.missing, "warning": warning, "error": error})
            if lacks:
                self.stderr.write(lacks)
                sys.exit(1)
            return
        self.stdout.write(f"{backup}: {rows:,} rows, {len(made.segments):,} segments of stored mail.")
        if lacks:
            raise CommandError(lacks)
