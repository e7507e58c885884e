from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from outbox import api
from outbox.management.commands._answers import AnsweringCommand
from outbox.policy import AttachmentInput


class Command(AnsweringCommand):
    help = "Send a mail now and answer with its outcome."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the account to send from")
        parser.add_argument("--to", action="append", required=True, help="a recipient; may be repeated")
        parser.add_argument("--cc", action="append", default=[])
        parser.add_argument("--bcc", action="append", default=[])
        parser.add_argument("--subject", required=True)
        parser.add_argument("--body", required=True)
        parser.add_argument(
            "--attach", action="append", default=[], metavar="PATH", help="a file under the attachment store's folder"
        )
        parser.add_argument("--failure-mode", choices=["network", "provider"], help="a drill: fail on purpose")
        parser.add_argument("--idempotency-key", help="the same key never makes a second mail")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
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
        )
        self.answer(response, as_json=options["json"])
