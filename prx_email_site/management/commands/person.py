"""manage.py person EMAIL: counts by table the rows that contain an address; with --export or --erase does that."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import override

from mailbox.exports import to_file
from mailbox.management.listing import ListingCommand
from mailbox.models import Export, PersonSearch
from prx_email_site.personal_data import exporting, requests, walking, words
from prx_email_site.personal_data.address import normal


class Command(ListingCommand):
    help = "Count by table where an address stands. Nothing is changed without --erase."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--export", metavar="DIR|FILE", help="write a zip with the mail and person.json there")
        parser.add_argument("--erase", action="store_true", help="erase it for good; prints the signed report")
        parser.add_argument("--dry-run", action="store_true", help="with --erase: say what it would do, and do nothing")
        parser.add_argument("--mentions", action="store_true", help="with --erase: also mail that only mentions it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, address = options["json"], normal(options["email"])
        if not address:
            self.refuse(f"{options['email']} is no address.", as_json=as_json)
        if options["export"]:
            self.refuse_together("--export", options, ["erase", "dry_run", "mentions"])
            self._export(address, Path(options["export"]), as_json=as_json)
            return
        search = requests.begin(address, None, uuid.uuid4(), timezone.now())
        self._run(search)
        if options["erase"] and not options["dry_run"]:
            try:
                requests.confirm(search, None, mentions=options["mentions"], now=timezone.now())
            except requests.RemovalRefused as refused:
                self.refuse(str(refused), as_json=as_json)
            self._run(search)
            if search.error:
                self.refuse(search.error, as_json=as_json)
        self._say(search, as_json=as_json)
        PersonSearch.objects.filter(pk=search.pk, state=PersonSearch.State.COUNTED).delete()

    def _run(self, search: PersonSearch) -> None:
        search.refresh_from_db()
        while search.state in (PersonSearch.State.COUNTING, PersonSearch.State.ERASING):
            walking.run(search)
            search.refresh_from_db()

    def _say(self, search: PersonSearch, *, as_json: bool) -> None:
        if as_json:
            said = {"person": search.digest, "state": search.state, "tables": search.found, "stays": search.named}
            self.print_data(said | {"report": search.document or None})
            return
        with override("en"):
            for line in words.lines_of(search):
                self.stdout.write(f"{line.number:>7}  {line.table}: {line.outcome}")
        if search.document:
            self.print_json(search.document)
        elif not search.found:
            self.stdout.write("It stands nowhere.")

    def _export(self, address: str, path: Path, *, as_json: bool) -> None:
        if path.is_dir():
            path /= f"person-{timezone.now():%Y%m%d-%H%M%S}.zip"
        source = exporting.PersonSource(address)
        try:
            written = to_file.write(source, Export.Form.ZIP, path, timezone.now(), query=address)
        except OSError as error:
            self.refuse(f"{path} could not be written: {error}", as_json=as_json)
        self.say_written(path, written, as_json=as_json)
