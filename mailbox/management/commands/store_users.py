"""manage.py store_users: which installations use the raw store; --forget says that one of them is gone."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from mailbox.management.base import RefusingCommand
from mailbox.models import StoreNote
from mailbox.storage import installations


class Command(RefusingCommand):
    help = (
        "Name the other installations that use the raw store (docs/operations.md). While there is one, nothing is "
        "swept from it. Status 1: there is one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--forget", metavar="NOTE", help="this installation is gone for good: its mail may be swept from the store"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, name, now = options["json"], options["forget"], timezone.now()
        try:
            if name:
                installations.forget(name, now)
            others = installations.note(now)
        except installations.StillRuns:
            words = "That installation left its note within the last 15 minutes, so it runs. Stop it first, and wait."
            self.refuse(words, as_json=as_json)
        except FileNotFoundError:
            words = (
                f"There is no note {name} of another installation. One that runs leaves a new one every few minutes."
            )
            self.refuse(words, as_json=as_json)
        except OSError as error:
            self.refuse(f"The store is out of reach: {error}", as_json=as_json, code="Storage")
        self._say(others, as_json=as_json)
        if others:
            sys.exit(1)

    def _say(self, others: list[StoreNote], *, as_json: bool) -> None:
        if as_json:
            data = [
                {"note": each.name, "host": each.host, "written_at": each.written_at.isoformat()} for each in others
            ]
            error = {"code": "Conflict", "message": "Other installations use the store."} if others else None
            self.print_json({"ok": not others, "data": data, "error": error})
            return
        for each in others:
            self.stdout.write(f"{each.name}  {each.host}  last heard of {each.written_at:%Y-%m-%d %H:%M} UTC")
        self.stdout.write(
            "Nothing is swept from the store. Where one of these is gone for good: manage.py store_users --forget NOTE"
            if others
            else "No other installation uses the store."
        )
