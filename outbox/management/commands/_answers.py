"""The output of the outbox's commands: one JSON object, or sentences; exit status 1 on an expected failure."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from mailbox.management.base import RefusingCommand
from outbox.api import ApiResponse

SEND_SUPPRESSED = "also to addresses that bounced for good or complained; recorded"


class AnsweringCommand(RefusingCommand):
    """The base of commands that print an ApiResponse: with --json as one JSON object, else as sentences."""

    def answer(self, response: ApiResponse, *, as_json: bool) -> None:
        """Print the response; exit with status 1 if it is not ok."""
        if as_json:
            self.print_json(asdict(response))
        elif response.data:
            self.stdout.write(_sentence(asdict(response.data)))
        if not response.ok:
            if response.error and not as_json:
                self.stderr.write(response.error.message)
            sys.exit(1)


def _sentence(result: dict[str, Any]) -> str:
    said = f"outbox {result['outbox_id']}: {result['status']}, {result['retries']} retries"
    if result["provider_message_id"]:
        said += f", {result['provider_message_id']}"
    if result["next_attempt_at"] and result["status"] != "sent":
        said += f", next attempt at {result['next_attempt_at']:%Y-%m-%d %H:%M:%S %Z}"
    return said
