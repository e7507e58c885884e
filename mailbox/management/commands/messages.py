"""manage.py messages: list received mail. (The texts for translators are collected by `gather_texts`.)"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mailbox import features
from mailbox.management.listing import ListingCommand
from mailbox.models import Account, Feature, Message, MessagePlace


class Command(ListingCommand):
    help = "List received mail, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", metavar="EMAIL")
        parser.add_argument("--folder", metavar="NAME", help="what lies in folders of this name")
        parser.add_argument("--unread", action="store_true")
        parser.add_argument("--limit", type=int, default=50, help="1 to 500")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, limit = options["json"], options["limit"]
        self.check_limit(limit, as_json=as_json)
        rows = Message.objects.visible().listed().select_related("account").order_by("-received_at", "-pk")
        account = self.find_account(options["account"], as_json=as_json) if options["account"] else None
        off = features.those_off(Feature.INBOX_READ)
        if off and (account.pk in off if account else not Account.objects.exclude(pk__in=off).exists()):
            refused = features.refused(Feature.INBOX_READ, account)
            self.refuse(str(refused), as_json=as_json, code=features.CODE)
        rows = rows.filter(account=account) if account else rows.exclude(account__in=off) if off else rows
        if options["folder"]:
            lying = MessagePlace.objects.present().filter(folder__name=options["folder"])
            rows = rows.filter(pk__in=lying.values("message"))
        if options["unread"]:
            rows = rows.filter(seen=False)
        found = list(rows[: limit + 1])
        self.print_messages(found[:limit], as_json=as_json, has_more=len(found) > limit)
