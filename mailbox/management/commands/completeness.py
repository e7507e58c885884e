"""manage.py completeness: show the last comparison of each account with its server; verify a signed report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import override

from mailbox.completeness import signature, walk, words
from mailbox.errors import MailError
from mailbox.management.listing import ListingCommand
from mailbox.models import Account, Completeness
from mailbox.plain_words import on_a_line

LARGEST_REPORT = 64 * 1024 * 1024


class Command(ListingCommand):
    help = "Say whether all mail of the chosen folders is here. Exit status 1 when not, or where it is unknown."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", nargs="?")
        parser.add_argument("--now", action="store_true", help="compare first, in the foreground")
        parser.add_argument("--verify", metavar="FILE", help="see whether this report is as it was signed")
        parser.add_argument("--public-key", metavar="KEY", help="with --verify: by whom, in base64")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["json"]
        if options["verify"] is not None:
            self._verify(options["verify"], options["public_key"], as_json=as_json)
            return
        accounts = Account.objects.syncing().order_by("email")
        if options["email"]:
            accounts = Account.objects.filter(pk=self.find_account(options["email"], as_json=as_json).pk)
        if options["now"]:
            self._compare([account.pk for account in accounts], as_json=as_json)
        rows = list(
            Completeness.objects.filter(account__in=accounts).select_related("account").order_by("account__email")
        )
        with override("en"):
            self._say(rows, as_json=as_json)
        if not all(map(words.is_in_order, rows)):
            sys.exit(1)

    def _compare(self, accounts: list[int], *, as_json: bool) -> None:
        try:
            for pk in accounts:
                while not walk.go_on(pk, wait_seconds=60):
                    pass
        except MailError as error:
            self.refuse(str(error), as_json=as_json)

    def _say(self, rows: list[Completeness], *, as_json: bool) -> None:
        if as_json:
            listed = [{"account": row.account.email, "differ": row.differing, "error": row.error,
                       "finished_at": row.finished_at, "document": row.document} for row in rows]  # fmt: skip
            wrong = ", ".join(row.account.email for row in rows if not words.is_in_order(row))
            wrong = f"Mail differs, or is not known to be here: {wrong}." if wrong else ""
            self.print_data({"rows": listed, "public_keys": signature.public_keys()}, wrong=wrong, code="Differs")
            return
        for row in rows:
            self.stdout.write(on_a_line(row.account.email + (f": {row.error}" if row.error else "")))
            if row.finished_at is None:
                self.stdout.write("  It was not compared yet.")
            for line in words.lines_of(row):
                self.stdout.write(on_a_line(f"  {words.sentence(line)}"))
                for each in line.findings:
                    self.stdout.write(on_a_line(f"    UID {each.uid}: {each.what} {each.remedy}").rstrip())
        if not rows:
            self.stdout.write("Nothing was compared yet.")

    def _verify(self, name: str, public_key: str | None, *, as_json: bool) -> None:
        path = Path(name)
        try:
            if path.stat().st_size > LARGEST_REPORT:
                self.refuse("It is too large for a report.", as_json=as_json)
            document = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            self.refuse(f"{name} cannot be read: {error}", as_json=as_json)
        if fault := signature.fault_of(document, public_key):
            self.refuse(fault, as_json=as_json)
        report = document["report"]
        if as_json:
            self.print_data({"report": report})
        else:
            self.stdout.write(f"The report is as it was signed. {words.in_short(report)}")
