"""What the project's commands share: how they refuse what they were given."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from mailbox.models import Account


class RefusingCommand(BaseCommand):
    """Every refusal is a sentence and exit status 1, and with --json an object: also an option argparse cannot read,
    for which it would leave with 2, and bytes that are no UTF-8, which Python hands over as lone surrogates.
    """

    _called_from_command_line: bool
    # Given empty, as a shell does with a variable that is not set, these would mean all instead of one.
    NARROWING = ("account", "email", "filter", "folder", "network", "status")

    def refuse(self, message: str, *, as_json: bool, code: str = "Validation") -> NoReturn:
        """State a failure that nothing came of, and leave with status 1."""
        if as_json:
            answer = {"ok": False, "data": None, "error": {"code": code, "message": message}}
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
        self.stderr.write(message)
        sys.exit(1)

    def find_account(self, email: str, *, as_json: bool) -> Account:
        """The account of this address; leaves with status 1 when there is none."""
        account = Account.objects.filter(email__iexact=email.strip()).first()
        if account is None:
            self.refuse(f"There is no account {email}: add it with add_account.", as_json=as_json)
        return account

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self._called_from_command_line:  # else Django raises CommandError, which a caller in Python wants
            parser.error = self._misunderstood  # type: ignore[method-assign]
        return parser

    def _misunderstood(self, message: str) -> NoReturn:
        self.refuse(f"{message[:1].upper()}{message[1:]}. See --help.", as_json="--json" in sys.argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name, value in options.items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and not _is_text(text):
                    self.refuse(f"{name.replace('_', ' ')} is not valid UTF-8.", as_json=bool(options.get("json")))
        for name in self.NARROWING:
            value = options.get(name)
            if any(text is not None and not text.strip() for text in (value if isinstance(value, list) else [value])):
                self.refuse(f"--{name} is empty: leave it out to mean all.", as_json=bool(options.get("json")))
        return super().execute(*args, **options)

    def refuse_together(self, what: str, options: dict[str, Any], names: Sequence[str]) -> None:
        """Refuse options that were given and that `what` would ignore; each is None, False or [] where it was not."""
        if given := [name for name in names if options[name] not in (None, False, [])]:
            self.refuse(f"--{given[0].replace('_', '-')} does not go with {what}.", as_json=bool(options.get("json")))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
