"""manage.py prove BACKUP: restores a backup into a scratch database and checks that nothing is missing."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from mailbox.management.base import RefusingCommand
from prx_email_site.backup import looking_through, manifest, proving
from prx_email_site.backup.faults import BackupFault, code_of
from prx_email_site.backup.looking_through import LookedThrough, MissingBytes


class Command(RefusingCommand):
    help = (
        "Prove that a backup can be restored, without touching what runs. The dashboard says when it was last proven."
    )
    requires_system_checks = []  # the scratch installation has no tables yet

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "backup", metavar="BACKUP", help="a backup, or a folder or s3:// address of them: its newest one"
        )
        parser.add_argument("--in-scratch", action="store_true", help="for the process that this command starts")
        words = "the file with the private key that opens an encrypted backup"
        parser.add_argument("--identity", type=Path, metavar="FILE", help=words)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["in_scratch"]:
            self.print_json(_within(options["backup"], options["identity"]))
            return
        proof = proving.prove(options["backup"], timezone.now(), options["identity"])
        if options["json"]:
            names = ("fault", "detail", "messages", "missing")
            error = {"code": proof.fault, "message": proof.detail} if proof.fault else None
            said = {"ok": not proof.fault, **{name: getattr(proof, name) for name in names}, "error": error}
            self.print_json(said)
            if proof.fault:
                self.stderr.write(proof.detail)
                sys.exit(1)
            return
        if proof.fault:
            raise CommandError(proof.detail)
        made = f"{proof.backup_at:%Y-%m-%d %H:%M} UTC"
        self.stdout.write(f"Proven: the backup of {made} restores; {proof.messages:,} messages, 0 missing.")


def _within(backup: str, identity: Path | None) -> dict[str, Any]:
    try:
        found = looking_through.restore_and_look(manifest.find(backup, identity), timezone.now())
    except MissingBytes as fault:
        return {**asdict(fault.found), "fault": "MessagesMissing", "detail": f"MessagesMissing: {fault.args[0]}"}
    except BackupFault as fault:
        return {**asdict(LookedThrough()), "fault": type(fault).__name__, "detail": str(fault)}
    except OSError as error:
        return {**asdict(LookedThrough()), "fault": code_of(error), "detail": f"{code_of(error)}: {error}"}
    return {**asdict(found), "fault": "", "detail": ""}
