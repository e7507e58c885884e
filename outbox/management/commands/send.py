"""manage.py send: sends a mail in the foreground, or queues it for a later time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.management.commands._answers import SEND_SUPPRESSED, AnsweringCommand


class Command(AnsweringCommand):
    help = "Send a mail now and answer with its outcome; with --at, leave it to the workers for that time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the account to send from")
        parser.add_argument("--from", dest="sender", default="", metavar="ADDRESS", help="another of its addresses")
        parser.add_argument("--send-suppressed", action="store_true", help=SEND_SUPPRESSED)
        parser.add_argument("--to", action="append", required=True, help="a recipient; may be repeated")
        parser.add_argument("--cc", action="append", default=[])
        parser.add_argument("--bcc", action="append", default=[])
        parser.add_argument("--subject", required=True)
        parser.add_argument("--body", required=True)
        parser.add_argument(
            "--attach", action="append", default=[], metavar="PATH", help="a file under the attachment store's folder"
        )
        parser.add_argument(
            "--at",
            metavar="TIME",
            help='not before this time, as "2026-12-24 18:00" (of the site\'s time zone) or "2026-12-24T18:00+01:00"',
        )
        parser.add_argument("--failure-mode", choices=["network", "provider"], help="a drill: fail on purpose")
        parser.add_argument("--idempotency-key", help="the same key never makes a second mail")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        send_at = self.time(options["at"], as_json=options["json"])
        account = self.find_account(options["email"], as_json=options["json"])
        response = api.send(
            account.pk,
            options["to"],
            options["subject"],
            options["body"],
            failure_mode=options["failure_mode"],
            cc=options["cc"],
            bcc=options["bcc"],
            attachments=[AttachmentInput(path=path) for path in options["attach"]],
            idempotency_key=options["idempotency_key"],
            send_at=send_at,
            sender=options["sender"],
            send_suppressed=options["send_suppressed"],
        )
        self.answer(response, as_json=options["json"])

    def time(self, given: str | None, *, as_json: bool) -> datetime | None:
        """The parsed time, in the site's time zone if it states none. Exits with status 1 if it is invalid."""
        if given is None:
            return None
        try:
            at = parse_datetime(given.strip())
        except ValueError:  # a valid format, but no such day
            at = None
        if at is None:
            self.refuse(f"{given} is no time: write it as 2026-12-24 18:00, or with its zone.", as_json=as_json)
        return timezone.make_aware(at) if timezone.is_naive(at) else at
