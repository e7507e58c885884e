from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from outbox import api
from outbox.actions.transitions import ShownState
from outbox.management.commands._answers import AnsweringCommand


class Command(AnsweringCommand):
    help = "Try a pending or failed mail of the outbox again, now, and answer with its outcome."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("outbox_id", type=int, metavar="OUTBOX_ID")
        parser.add_argument("--now", action="store_true", help="send now anyway: do not wait for its next attempt")
        parser.add_argument(
            "--attempt", type=int, help="only if this is still the number of its newest attempt (0: it has none)"
        )
        parser.add_argument("--failure-mode", choices=["network", "provider"], help="a drill: fail on purpose")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        seen = ShownState(options["attempt"])
        response = api.retry_outbox(options["outbox_id"], options["failure_mode"], now_anyway=options["now"], seen=seen)
        self.answer(response, as_json=options["json"])
