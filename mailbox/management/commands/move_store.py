"""manage.py move_store: move stored mail from PRX_EMAIL_RAW_ALSO_READ into the raw store, while the site runs."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from mailbox.management.base import RefusingCommand
from mailbox.storage import installations, moving
from mailbox.storage.durable_files import raw_storage
from mailbox.storage.two_stores import TwoStores

EACH = 100  # segments between two lines of progress


class Command(RefusingCommand):
    help = (
        "Move stored mail out of PRX_EMAIL_RAW_ALSO_READ into the present raw store (docs/operations.md). It may be "
        "stopped and run again, and waits while a store is away; each message is proven by its digest before the "
        "database names its new place."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, stores = options["json"], raw_storage()
        if not isinstance(stores, TwoStores):
            words = "There is nothing to move from: PRX_EMAIL_RAW_ALSO_READ names the store that is left"
            self.refuse(f"{words} (docs/operations.md, “From one store to another”).", as_json=as_json)
        patience = moving.Patience(self._wait)
        installations.note_in_time()  # no other installation's sweep is to remove what is moved
        try:
            for moved in moving.move(stores, patience):
                if not as_json and moved.segments and not moved.segments % EACH:
                    self.stdout.write(f"{moved.messages} messages, {moved.size} bytes so far.")
            left = moving.left_in(stores, patience)
        except OSError as error:
            self.refuse(f"A store is out of reach: {error}. Run this again.", as_json=as_json, code="Storage")
        self._say(moved, left, as_json=as_json)
        if left:
            sys.exit(1)

    def _wait(self, error: OSError, pause: float) -> None:
        self.stderr.write(f"A store is out of reach: {error}. Trying again in {pause:g} s.")

    def _say(self, moved: moving.Moved, left: int, *, as_json: bool) -> None:
        if as_json:
            data = {"segments": moved.segments, "messages": moved.messages, "bytes": moved.size, "left": moved.left}
            words = f"{left} segments are left in the other store."
            error = {"code": "Storage", "message": words} if left else None
            self.print_json({"ok": not left, "data": data, "error": error})
            return
        self.stdout.write(f"Moved {moved.messages} messages in {moved.segments} segments, {moved.size} bytes.")
        for line in moved.left:
            self.stderr.write(line)
        self.stdout.write(f"{left or 'No'} segments are left in the other store.")
