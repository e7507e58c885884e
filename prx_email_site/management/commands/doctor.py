"""manage.py doctor EMAIL: tests each step of an account's IMAP and SMTP connections and gives advice.

Status 1: a step failed.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from mailbox import network
from mailbox.plain_words import on_a_line
from outbox.management.commands._answers import AnsweringCommand
from prx_email_site.monitoring import connection_steps


class Command(AnsweringCommand):
    help = "Try every step of an account's connections (name, connection, TLS or STARTTLS, sign-in) and say what to do."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["json"]
        account = self.find_account(options["email"], as_json=as_json)
        if network.is_off():
            self.refuse("PRX_EMAIL_NETWORK is 0: no connection leaves.", as_json=as_json)
        steps = []
        for step in connection_steps.examine(account):
            steps.append(step)
            if not as_json:
                state = "ok" if step.ok else "FAILED"
                self.stdout.write(on_a_line(f"{step.side.upper()}  {step.step}: {state}  {step.words}"))
                if step.advice:
                    self.stdout.write(f"      {step.advice}")
        ok = all(step.ok for step in steps)
        if as_json:
            failed = [f"{step.side} {step.step}: {step.words}" for step in steps if not step.ok]
            error = None if ok else {"code": "Network", "message": "; ".join(failed)}
            data = {"account": account.email, "steps": [asdict(step) for step in steps]}
            self.print_json({"ok": ok, "data": data, "error": error})
        if not ok:
            sys.exit(1)
