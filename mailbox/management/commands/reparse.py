"""manage.py reparse [--account EMAIL] [--all]: parse stored mail again from its raw bytes, in the foreground."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from mailbox.management.base import RefusingCommand
from mailbox.messages import reparse
from mailbox.models import Account, Reparse

PROGRESS_SECONDS = 2.0


class Command(RefusingCommand):
    help = (
        "Read stored mail again from its raw bytes, where an older parser read it. It may be interrupted and started "
        "again: it goes on where it was. The site may run meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", metavar="EMAIL", help="default: of all accounts")
        parser.add_argument("--all", action="store_true", help="also what the present parser has read")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(email__iexact=options["account"] or "").first()
        if options["account"] is not None and account is None:
            self.refuse(f"There is no account {options['account']}; manage.py add_account makes one.", as_json=False)
        round_, is_new = reparse.begin(account, everything=options["all"])
        if not is_new:
            begun = timezone.localtime(round_.started_at)
            self.stdout.write(f"Going on with the round of {begun:%Y-%m-%d %H:%M}: {_progress(round_)}.")
        shown = time.monotonic()
        for moved in reparse.go_on(round_):
            if time.monotonic() - shown >= PROGRESS_SECONDS:
                shown = time.monotonic()
                self.stdout.write(f"{_progress(moved)}.")
        round_.refresh_from_db()
        if round_.finished_at is None:
            self.stdout.write(
                "Another worker goes on with it, or another host that has its files; see the page of stored mail."
            )
            return
        self.stdout.write(f"Done: {round_.done} messages read again, {round_.changed} of them differently.")
        for name, count in sorted(round_.changed_fields.items()):
            self.stdout.write(f"  {name}: {count}")
        if round_.lost or round_.failed:
            self.refuse(
                f"{round_.lost} have lost their raw bytes and {round_.failed} could not be read; they stay "
                "as they were. The log names them.",
                as_json=False,
            )


def _progress(round_: Reparse) -> str:
    return f"{round_.done} of {round_.total} messages read again, {round_.changed} differently"
