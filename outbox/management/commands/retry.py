"""manage.py retry: tries one mail again in the foreground, or asks the workers to retry all that match a filter."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from outbox import api
from outbox.actions.filters import NoSuchFilter, OutboxFilters
from outbox.actions.transitions import ShownState
from outbox.management.commands._answers import AnsweringCommand
from outbox.models import OutboxMessage

FAILED = ("retrying", "failed_for_good", "needs_decision")
AT_ONCE = 500


class Command(AnsweringCommand):
    help = "Try a pending or failed mail of the outbox again, now, and answer with its outcome; or ask it of many."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("outbox_id", type=int, metavar="OUTBOX_ID", nargs="?")
        parser.add_argument("--now", action="store_true", help="send now anyway: do not wait for its next attempt")
        parser.add_argument(
            "--attempt", type=int, help="only if this is still the number of its newest attempt (0: it has none)"
        )
        parser.add_argument("--failure-mode", choices=["network", "provider"], help="a drill: fail on purpose")
        parser.add_argument("--all", action="store_true", help="all that failed and match --filter; workers send them")
        parser.add_argument(
            "--filter",
            metavar="QUERY",
            help='as the address of the outbox page has it: "state=failed_for_good&code=550&domain=example.com"',
        )
        parser.add_argument("--dry-run", action="store_true", help="with --all: only say how many match")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        is_many = options["all"] or options["filter"] is not None or options["dry_run"]
        if is_many and (options["outbox_id"] is not None or not options["all"]):
            self.refuse("Give an OUTBOX_ID, or --all with --filter and --dry-run.", as_json=options["json"])
        if is_many:
            self.refuse_together("--all", options, ["attempt", "failure_mode"])
            self._retry_all(options)
            return
        if options["outbox_id"] is None:
            self.refuse("Give an OUTBOX_ID, or --all.", as_json=options["json"])
        seen = ShownState(options["attempt"])
        response = api.retry_outbox(options["outbox_id"], options["failure_mode"], now_anyway=options["now"], seen=seen)
        self.answer(response, as_json=options["json"])

    def _retry_all(self, options: dict[str, Any]) -> None:
        """Retry all failed rows that match the filter. Uncertain ones are refused, as on the page: a person must decide
        about each. Rows that changed since the beginning are refused too."""
        began = timezone.now()
        try:
            filters = OutboxFilters.of_query(options["filter"] or "")
        except (NoSuchFilter, ValueError) as error:
            self.refuse(str(error), as_json=options["json"])
        if filters.state not in ("", *FAILED):
            self.refuse(f"Only what failed is retried: state is one of {', '.join(FAILED)}.", as_json=options["json"])
        rows = filters.of_state(filters.narrow(OutboxMessage.objects.filter(status="failed"), began))
        data: dict[str, Any] = {"matching": rows.count()}
        if not options["dry_run"]:
            refused = self._ask(rows, ShownState(unchanged_since=began), now_anyway=options["now"])
            data |= {"asked": refused.pop("", 0), "refused": dict(refused)}
        self._say(data, as_json=options["json"])

    def _say(self, data: dict[str, Any], *, as_json: bool) -> None:
        """Print the numbers. If some rows were refused, the status is 1, as for `accounts import`."""
        refused = " ".join(f"{number} not: {why}" for why, number in data.get("refused", {}).items())
        if as_json:
            error = {"code": "Validation", "message": refused} if refused else None
            self.print_json({"ok": not refused, "data": data, "error": error})
        else:
            asked = f"{data['asked']} are tried again by the workers." if "asked" in data else ""
            self.stdout.write(" ".join(filter(None, [f"{data['matching']} match.", asked, refused])))
        if refused:
            sys.exit(1)

    def _ask(self, rows: Any, seen: ShownState, *, now_anyway: bool) -> Counter[str]:
        """The number of rows for each reason of refusal, and for "" the rows that are tried again."""
        answers: Counter[str] = Counter()
        after = 0
        while pks := list(rows.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
            for pk in pks:
                response = api.request_retry(pk, user=None, now_anyway=now_anyway, seen=seen)
                answers["" if response.ok else response.error.message if response.error else "refused"] += 1
            after = pks[-1]
        return answers
