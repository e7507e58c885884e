"""manage.py reply EMAIL MESSAGE_ID: replies to a received mail."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.management.commands._answers import SEND_SUPPRESSED, AnsweringCommand


class Command(AnsweringCommand):
    help = "Answer a received mail now, and say what came of it: to whoever wrote it, unless --to says otherwise."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the account that the mail lies in, and to send from")
        parser.add_argument("message_id", metavar="MESSAGE_ID", help="of the mail that is answered: <...@...>")
        parser.add_argument("--from", dest="sender", default="", metavar="ADDRESS", help="another of its addresses")
        parser.add_argument("--send-suppressed", action="store_true", help=SEND_SUPPRESSED)
        parser.add_argument("--body", required=True)
        parser.add_argument("--to", action="append", default=[], help="a recipient; may be repeated")
        parser.add_argument("--cc", action="append", default=[])
        parser.add_argument("--bcc", action="append", default=[])
        parser.add_argument("--subject", default="", help='default: that of the mail, with "Re: "')
        parser.add_argument(
            "--attach", action="append", default=[], metavar="PATH", help="a file under the attachment store's folder"
        )
        parser.add_argument("--failure-mode", choices=["network", "provider"], help="a drill: fail on purpose")
        parser.add_argument("--idempotency-key", help="the same key never makes a second mail")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        account = self.find_account(options["email"], as_json=options["json"])
        response = api.reply(
            account.pk,
            options["message_id"],
            options["body"],
            failure_mode=options["failure_mode"],
            to=options["to"],
            subject=options["subject"],
            cc=options["cc"],
            bcc=options["bcc"],
            attachments=[AttachmentInput(path=path) for path in options["attach"]],
            idempotency_key=options["idempotency_key"],
            sender=options["sender"],
            send_suppressed=options["send_suppressed"],
        )
        self.answer(response, as_json=options["json"])
