"""FETCH of many messages of which a server refuses some, with a NO to the whole command (Gmail, Exchange). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from mailbox.errors import MailError
from mailbox.imap.responses import is_refusal

MOST_REFUSED = 60  # commands, to find what is refused among some hundred messages

Row = TypeVar("Row")


def rows_around(
    fetch: Callable[[Sequence[int]], dict[int, Row]], uids: Sequence[int]
) -> tuple[dict[int, Row], set[int]]:
    """What is said of these UIDs, and of which the server refuses to say it, found by asking in halves.

    Raises MailError: what is no refusal of a message, and where more are refused than a few.
    """
    return _rows(fetch, uids, [MOST_REFUSED])


def _rows(
    fetch: Callable[[Sequence[int]], dict[int, Row]], uids: Sequence[int], left: list[int]
) -> tuple[dict[int, Row], set[int]]:
    try:
        return fetch(uids), set()
    except MailError as error:
        left[0] -= 1
        if not is_refusal(error) or left[0] < 0:
            raise
    if len(uids) == 1:
        return {}, set(uids)
    middle = len(uids) // 2
    first, refused = _rows(fetch, uids[:middle], left)
    second, more_refused = _rows(fetch, uids[middle:], left)
    return first | second, refused | more_refused
