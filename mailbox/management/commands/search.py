"""manage.py search QUERY: search received mail as the page does, with the same operators."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from mailbox import features
from mailbox.management.listing import ListingCommand
from mailbox.models import Account
from mailbox.search.results import search


class Command(ListingCommand):
    help = 'Search received mail as its page does: words, "phrases", from:, has:attachment, before: and so on.'

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("query")
        parser.add_argument("--account", metavar="EMAIL")
        parser.add_argument("--limit", type=int, default=50, help="1 to 500")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, limit = options["json"], options["limit"]
        self.check_limit(limit, as_json=as_json)
        among = None
        if options["account"]:
            account = self.find_account(options["account"], as_json=as_json)
            among = Account.objects.filter(pk=account.pk)
        # A person who may run commands may read the database, so all accounts are included.
        try:
            found = search(User(is_superuser=True), options["query"], limit=limit, among=among)
        except features.FeatureOff as error:
            self.refuse(str(error), as_json=as_json, code=features.CODE)
        if found.problems:
            self.refuse(" ".join(str(each) for each in found.problems), as_json=as_json)
        self.print_messages(list(found.rows), as_json=as_json, has_more=found.next is not None)
