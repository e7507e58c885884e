"""The base class of commands that list rows: one line for each, or one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mailbox.exports.to_file import Written
from mailbox.management.base import RefusingCommand
from mailbox.models import Message
from mailbox.plain_words import on_a_line

MIN_LIMIT, MAX_LIMIT = 1, 500


class ListingCommand(RefusingCommand):
    """Commands that print rows, at most MAX_LIMIT of them, as lines or with --json as one object."""

    def check_limit(self, limit: int, *, as_json: bool) -> None:
        """End with status 1 and a sentence unless the limit is MIN_LIMIT to MAX_LIMIT."""
        if not MIN_LIMIT <= limit <= MAX_LIMIT:
            self.refuse(f"--limit is {MIN_LIMIT} to {MAX_LIMIT}, not {limit}.", as_json=as_json)

    def print_data(self, data: Any, *, wrong: str = "", code: str = "Validation") -> None:
        """Print {"ok", "data", "error"} as JSON. `wrong`: the error's message, when the command has data and yet ends
        with status 1."""
        error = {"code": code, "message": wrong} if wrong else None
        answer = {"ok": not wrong, "data": data, "error": error}
        self.print_json(answer)

    def say_written(self, path: Path, written: Written, *, as_json: bool) -> None:
        """Report an export file that was written. Exits with status 1 when stored bytes of some mail were missing."""
        lacks = f"{written.missing} messages are not in it: their stored bytes are missing." if written.missing else ""
        if as_json:
            said = {"mails": written.mails, "missing": written.missing, "bytes": written.size}
            self.print_data({"file": str(path), **said}, wrong=lacks, code="Storage")
        else:
            self.stdout.write(f"{path}: {written.mails - written.missing} messages, {written.size} bytes.")
        if lacks:
            self.stderr.write(lacks)
            sys.exit(1)

    def print_messages(self, rows: Sequence[Message], *, as_json: bool, has_more: bool) -> None:
        """Print the messages, each with its id, "*" if unread, time, sender and subject. has_more: say so."""
        listed = [_listed(row) for row in rows]
        if as_json:
            self.print_data({"rows": listed, "has_more": has_more})
            return
        for each in listed:
            mark = " " if each["seen"] else "*"
            line = f"{each['id']:>7} {mark} {each['received_at']:%Y-%m-%d %H:%M}  {each['from']}  {each['subject']}"
            self.stdout.write(on_a_line(line).rstrip())
        if not listed:
            self.stdout.write("No message.")
        elif has_more:
            self.stdout.write("There are more: raise --limit, or narrow.")


def _listed(row: Message) -> dict[str, Any]:
    return {
        "id": row.pk,
        "account": row.account.email,
        "message_id": row.message_id,
        "from": row.sender,
        "subject": row.subject,
        "received_at": row.received_at,
        "seen": row.seen,
        "flagged": row.flagged,
        "answered": row.answered,
        "has_attachments": row.has_attachments,
        "size": row.size,
        "snippet": row.snippet,
    }
