"""The base class of the project's commands: how they report errors, as text or as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import DatabaseError, InterfaceError

from mailbox.db.errors import is_trouble
from mailbox.db.lock_timeout import in_words, is_locked_by_another
from mailbox.errors import StorageError
from mailbox.models import Account
from mailbox.plain_words import as_json, on_lines


class PlainOutput(OutputWrapper):
    """stdout or stderr of a command, to which a stranger's words are text and no commands.

    Line feeds stay; on_a_line() escapes them in a row of a list. What the output's charset lacks is escaped, too.
    """

    def write(  # type: ignore[override]  # as Django's does
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        if style_func is None:  # else it is Django's own, coloured: the results of its checks
            codec = getattr(self._out, "encoding", None) or "utf-8"
            msg = on_lines(msg).encode(codec, "backslashreplace").decode(codec)
        super().write(msg, style_func, ending)


class RefusingCommand(BaseCommand):
    """Reports every refusal as a sentence and exit status 1; with --json, as a JSON object.

    This includes options that argparse cannot read (its exit status would be 2), arguments that are no UTF-8 (Python
    passes them as lone surrogates), and an unreachable database or disk. Without --json a CommandError is raised as
    usual.
    """

    _called_from_command_line: bool
    # Options that must not be empty: a shell passes "" for an unset variable, which would select all instead of one.
    NARROWING = ("account", "email", "filter", "folder", "network", "status")

    def print_json(self, answer: Any) -> None:
        """Print an answer as one line of JSON; times in ISO 8601, and letters as they are."""
        self.stdout.write(as_json(answer, default=_plain))

    def refuse(self, message: str, *, as_json: bool, code: str = "Validation") -> NoReturn:
        """Write the message (with --json, an object too) and exit with status 1. For failures that changed nothing."""
        if as_json:
            answer = {"ok": False, "data": None, "error": {"code": code, "message": message}}
            self.print_json(answer)
        self.stderr.write(message)
        sys.exit(1)

    def fail(self, message: str, *, as_json: bool, code: str) -> NoReturn:
        """As refuse(), but raises CommandError without --json, for callers in Python."""
        if not as_json:
            raise CommandError(message)
        self.refuse(message, as_json=True, code=code)

    def find_account(self, email: str, *, as_json: bool) -> Account:
        """The account with this address. Exits with status 1 when there is none."""
        account = Account.objects.filter(email__iexact=email.strip()).first()
        if account is None:
            self.refuse(f"There is no account {email}: add it with add_account.", as_json=as_json)
        return account

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self._called_from_command_line:  # otherwise Django raises CommandError, for callers in Python
            for each in (parser, *_parts_of(parser)):
                each.error = self._misunderstood  # type: ignore[method-assign]
        return parser

    def _misunderstood(self, message: str) -> NoReturn:
        self.refuse(f"{message[:1].upper()}{message[1:]}. See --help.", as_json="--json" in sys.argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.stdout = PlainOutput(options.pop("stdout", None) or sys.stdout)
        self.stderr, style = PlainOutput(options.pop("stderr", None) or sys.stderr), self.stderr.style_func
        self.stderr.style_func = style
        for name, value in options.items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and not _is_text(text):
                    self.refuse(f"{name.replace('_', ' ')} is not valid UTF-8.", as_json=bool(options.get("json")))
        for name in self.NARROWING:
            value = options.get(name)
            if any(text is not None and not text.strip() for text in (value if isinstance(value, list) else [value])):
                self.refuse(f"--{name} is empty: leave it out to mean all.", as_json=bool(options.get("json")))
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            if not options.get("json"):
                raise
            self.refuse(str(error), as_json=True)
        except (DatabaseError, InterfaceError, StorageError) as error:
            if isinstance(error, StorageError):
                words = str(error)
            elif is_locked_by_another(error) or is_trouble(error):
                words = in_words(error)
            else:
                raise
            self.refuse(words, as_json=bool(options.get("json")), code="Storage")

    def refuse_together(self, what: str, options: dict[str, Any], names: Sequence[str]) -> None:
        """Refuse these options if they were given, as `what` would ignore them. None, False and [] mean not given."""
        if given := [name for name in names if options[name] not in (None, False, [])]:
            self.refuse(f"--{given[0].replace('_', '-')} does not go with {what}.", as_json=bool(options.get("json")))


def _plain(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _parts_of(parser: CommandParser) -> Iterator[CommandParser]:
    """The parsers of its subcommands, which report errors themselves."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
