"""manage.py export_messages FILE: write the messages of a search as an mbox or zip of .eml files, with a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser
from django.utils import timezone

from mailbox import features
from mailbox.exports import manifest, to_file
from mailbox.exports.selection import SearchSource, Selection, SelectionInvalid
from mailbox.management.listing import ListingCommand
from mailbox.models import Export, Folder


class Command(ListingCommand):
    help = "Write stored messages into a file, byte for byte as they are stored. Exit status 1 where bytes are missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="FILE.zip or FILE.mbox, beside which FILE.mbox.csv is written")
        parser.add_argument("--query", metavar="SEARCH", default="", help="as typed into the search box; none: all")
        parser.add_argument("--account", metavar="EMAIL")
        parser.add_argument("--folder", metavar="NAME", help="of that account")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, path = options["json"], Path(options["file"])
        form = path.suffix.lower().removeprefix(".")
        if form not in Export.MAIL_FORMS:
            self.refuse("The file's name ends in .zip or .mbox, which says its form.", as_json=as_json)
        # A person who may run commands may read the database, so all accounts are included.
        selection = self._selection(options, as_json=as_json)
        source = SearchSource(selection, User(is_superuser=True))
        try:
            written = to_file.write(source, form, path, timezone.now(), query=selection.query)
            if form == Export.Form.MBOX:
                to_file.write_whole(path.with_name(f"{path.name}.csv"), manifest.as_csv(written.lines))
        except (OSError, features.FeatureOff) as error:
            self.refuse(f"{path} could not be written: {error}", as_json=as_json)
        self.say_written(path, written, as_json=as_json)

    def _selection(self, options: dict[str, Any], *, as_json: bool) -> Selection:
        account = folder = ""
        if options["account"]:
            account = str(self.find_account(options["account"], as_json=as_json).pk)
        if options["folder"]:
            if not account:
                self.refuse("--folder needs --account.", as_json=as_json)
            found = Folder.objects.filter(account=int(account), name=options["folder"]).first()
            if found is None:
                self.refuse(f"There is no folder {options['folder']} in this account.", as_json=as_json)
            folder = str(found.pk)
        wanted = Selection(q=options["query"].strip(), account=account, folder=folder)
        try:
            return Selection.of(wanted.query)
        except SelectionInvalid as error:
            self.refuse(str(error), as_json=as_json)
