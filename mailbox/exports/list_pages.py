"""A list as a CSV file, written piece by piece: pages of lines that the site's lists hand over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from mailbox.csv_text import further_lines, lines_of
from mailbox.lazy_text import Words

PAGE = 500  # rows that a list reads at once
PIECE_ROWS = 5_000  # rows of a piece of the file, at least; a page may have few or none
END = "end"
TITLES: dict[str, Words] = {
    "accounts": _("Accounts"),
    "messages": _("Messages"),
    "outbox": _("Outbox"),
    "attachments": _("Attachments"),
    "activity": _("Activity"),
    "quarantine": _("Quarantine"),
    "suppressed": _("Addresses not written to"),
    "runs": _("Runs, folder by folder"),
}


@dataclass(frozen=True)
class ListPage:
    """Lines of a list, the accounts whose rows they are, and the cursor (a JSON value) of the next page; None: none."""

    lines: Sequence[Sequence[object]]
    accounts: set[int]
    after: Any


@dataclass(frozen=True)
class ListSource:
    """head: the names of the columns. read: the page after a cursor; None: the first one."""

    head: Sequence[str]
    read: Callable[[Any], ListPage]


@dataclass
class ListPiece:
    """Some lines as bytes of the file, and the cursor behind them."""

    content: bytes
    after: Any
    rows: int = 0
    accounts: set[int] = field(default_factory=set)


def next_piece(source: ListSource, after: Any, begin: int) -> ListPiece | None:
    """The next piece; None behind the last one. `begin`: bytes of the file so far."""
    if after == END:
        return None
    found, lines = ListPiece(b"", after), list[Sequence[object]]()
    while found.after != END and found.rows < PIECE_ROWS:
        page = source.read(found.after)
        lines += page.lines
        found.rows += len(page.lines)
        found.accounts |= page.accounts
        found.after = END if page.after is None else page.after
    found.content = "".join(further_lines(lines) if begin else lines_of(source.head, lines)).encode()
    return found
