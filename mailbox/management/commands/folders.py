"""manage.py folders EMAIL: list an account's folders and their state of sync; choose which are synced."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction
from django.db.models import Count, Q

from mailbox.errors import MailError
from mailbox.management.listing import ListingCommand
from mailbox.models import Account, AuditEntry, Folder
from mailbox.plain_words import on_a_line
from mailbox.sync import folder_sync


class Command(ListingCommand):
    help = "List an account's folders; choose which are synced; ask the server for its list."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--refresh", action="store_true", help="ask the server for its folders first")
        parser.add_argument("--sync", action="append", default=[], metavar="NAME", help="fetch it; may be repeated")
        parser.add_argument("--no-sync", action="append", default=[], metavar="NAME", help="fetch it no more")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["json"]
        if both := sorted(set(options["sync"]) & set(options["no_sync"])):
            self.refuse(f"--sync and --no-sync both name {', '.join(both)}.", as_json=as_json)
        account = self.find_account(options["email"], as_json=as_json)
        if options["refresh"]:
            try:
                folder_sync.discover_folders(account.pk)
            except MailError as error:
                self.refuse(str(error), as_json=as_json)
        wanted = dict.fromkeys(options["sync"], True) | dict.fromkeys(options["no_sync"], False)
        self._choose(account, wanted, as_json=as_json)
        rows = [_listed(folder) for folder in _folders(account)]
        if as_json:
            self.print_data({"account": account.email, "rows": rows})
            return
        for each in rows:
            state = "synced" if each["synced"] else "-"
            when = f"up to date {each['up_to_date_at']:%Y-%m-%d %H:%M} UTC" if each["up_to_date_at"] else ""
            line = f"{state:<7} {each['stored']:>8}  {each['name']}  {when} {each['error']}"
            self.stdout.write(on_a_line(line).rstrip())

    @transaction.atomic
    def _choose(self, account: Account, wanted: dict[str, bool], *, as_json: bool) -> None:
        """Set which folders are synced; refuse and change nothing when one of the names does not exist."""
        folders = Folder.objects.filter(account=account, gone_at=None, selectable=True)
        unknown = sorted(wanted.keys() - set(folders.values_list("name", flat=True)))
        if unknown:
            self.refuse(f"{account.email} has no folder {', '.join(unknown)}. Try --refresh.", as_json=as_json)
        for name, is_synced in wanted.items():
            changed = folders.filter(name=name).exclude(sync_enabled=is_synced).update(sync_enabled=is_synced)
            if changed:
                detail = f"{'synced' if is_synced else 'not synced'}: {name}"
                AuditEntry.objects.create(
                    account=account, verb="choose_folders", target=f"account:{account.pk}", detail=detail
                )


def _folders(account: Account) -> Any:
    lying = Count("places", filter=Q(places__gone_at=None))
    rows = Folder.objects.filter(account=account, gone_at=None).select_related("sync_state")
    return rows.annotate(stored=lying).order_by("name")


def _listed(folder: Any) -> dict[str, Any]:
    state = getattr(folder, "sync_state", None)
    return {
        "name": folder.name,
        "special_use": folder.special_use,
        "synced": folder.sync_enabled,
        "stored": folder.stored,
        "on_server": state.exists if state else None,
        "up_to_date_at": state.last_success_at if state else None,
        "error": state.last_error if state and state.failure_count else "",
    }
