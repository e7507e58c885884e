"""FETCH on servers that answer NO to a whole command when they refuse one of its messages (Gmail, Exchange). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from mailbox.errors import MailError
from mailbox.imap.responses import is_refusal

MOST_REFUSED = 60  # refused commands, within which a few refused among some hundred messages are found

Row = TypeVar("Row")


def rows_around(
    fetch: Callable[[Sequence[int]], dict[int, Row]], uids: Sequence[int]
) -> tuple[dict[int, Row], set[int]]:
    """Fetch rows by UID, and return them with the set of UIDs that the server refuses, found by halving the list.

    Raises the MailError of `fetch` when it is no refusal of a message, or after MOST_REFUSED refused commands.
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
