"""manage.py outbox: lists outbox rows and counts them by status."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Count

from mailbox.plain_words import on_a_line
from outbox.management.commands._answers import AnsweringCommand
from outbox.models import OutboxMessage

MAX_LIMIT = 500


class Command(AnsweringCommand):
    help = "List the outbox, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--status", help=", ".join(OutboxMessage.Status.values))
        parser.add_argument("--account", metavar="EMAIL")
        parser.add_argument("--limit", type=int, default=100, help=f"1 to {MAX_LIMIT}")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, status, limit = options["json"], options["status"], options["limit"]
        if not 1 <= limit <= MAX_LIMIT:
            self.refuse(f"--limit is 1 to {MAX_LIMIT}, not {limit}.", as_json=as_json)
        if status is not None and status not in OutboxMessage.Status.values:
            self.refuse(f"--status is one of {', '.join(OutboxMessage.Status.values)}, not {status}.", as_json=as_json)
        rows = OutboxMessage.objects.select_related("account").order_by("-pk")
        if options["account"]:
            rows = rows.filter(account=self.find_account(options["account"], as_json=as_json))
        counts = dict(rows.order_by().values_list("status").annotate(count=Count("pk")))
        found = list((rows.filter(status=status) if status else rows)[: limit + 1])
        listed, has_more = [_listed(row) for row in found[:limit]], len(found) > limit
        if as_json:
            self.print_json(
                {"ok": True, "data": {"counts": counts, "rows": listed, "has_more": has_more}, "error": None}
            )
            return
        for row in listed:
            line = (
                f"{row['outbox_id']:>6}  {row['status']:<9} {row['hold']:<9} {row['retries']:>3}  "
                f"{row['to']}  {row['subject']}  {row['error'].splitlines()[0] if row['error'] else ''}"
            )
            self.stdout.write(on_a_line(line).rstrip())
        if has_more:
            self.stdout.write(f"These are the newest {limit}: --limit shows up to {MAX_LIMIT}.")
        self.stdout.write(
            ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "The outbox is empty."
        )


def _listed(row: OutboxMessage) -> dict[str, Any]:
    return {
        "outbox_id": row.pk,
        "account": row.account.email,
        "status": row.status,
        "hold": row.hold,
        "retries": row.retries,
        "next_attempt_at": row.next_attempt_at if row.status in row.CLAIMABLE and not row.hold else None,
        "provider_message_id": row.provider_message_id,
        "to": row.to,
        "subject": row.subject,
        "error_code": row.error_code,
        "error": row.error,
        "created_at": row.created_at,
        "sent_at": row.sent_at,
    }
