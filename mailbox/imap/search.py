"""UID SEARCH, answered by SEARCH in one or more lines (RFC 3501, 7.2.5) or by ESEARCH (RFC 9051, 7.3.4).

imapclient ignores ESEARCH, so that a folder would seem empty. Raises the errors of imaplib and imapclient.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mailbox.imap.fetch import MAX_UID

# Yahoo silently truncates SEARCH results to 1,000: when exactly so many come, both halves of the range are searched.
TRUNCATED_SEARCH = 1000
MAX_RANGE = 5_000_000  # UIDs to which the ranges of one answer may expand
_MODSEQ = re.compile(rb"\(MODSEQ[^()]*+\)?", re.I)
_ALL = re.compile(rb"\bALL[ \t]++([\d:,]++)", re.I)
_RANGE = re.compile(rb"(\d{1,19})(?::(\d{1,19})|(?!))?+")


def uids(client: Any, *criteria: str, low: int = 1, high: int = MAX_UID) -> list[int]:
    """UIDs from low to high that match, sorted, without duplicates. Raises ValueError above MAX_RANGE.

    criteria: words of the command as sent; the caller applies quoted() to text.
    """
    beneath = client._imap
    for kind in ("SEARCH", "ESEARCH"):
        beneath.response(kind)  # removes responses that an earlier command left
    status, lines = beneath.uid("SEARCH", *criteria)
    client._checkok("search", status, lines)
    return found_in(_words(lines), _words(beneath.response("ESEARCH")[1]), low, high)


def uncut(search: Callable[[int, int], list[int]], low: int, high: int) -> list[int]:
    """The UIDs that `search` finds from low to high, sorted; complete also where the server truncates its answers."""
    found: list[int] = []
    ranges = [(low, high)]
    while ranges:
        low, high = ranges.pop()
        uids = search(low, high) if low <= high else []
        if len(uids) == TRUNCATED_SEARCH and high - low >= TRUNCATED_SEARCH:
            middle = (low + min(high, max(uids[-1], low + 1))) // 2
            ranges += [(middle + 1, high), (low, middle)]  # the lower half is searched first
        else:
            found += uids
    return found


def found_in(search: list[bytes], esearch: list[bytes], lowest: int = 1, highest: int = MAX_UID) -> list[int]:
    """UIDs from lowest to highest in SEARCH and ESEARCH responses, sorted. Raises ValueError above MAX_RANGE UIDs."""
    found: set[int] = set()
    sets = [_MODSEQ.sub(b"", line) for line in search] + [each[1] for line in esearch for each in _ALL.finditer(line)]
    for low, high in (match.groups() for each in sets for match in _RANGE.finditer(each)):
        first, last = sorted((int(low), int(high or low)))
        first, last = max(first, lowest), min(last, highest)
        if last - first + len(found) > MAX_RANGE:
            raise ValueError(f"{last - first + len(found)} messages found")
        found.update(range(first, last + 1))
    return sorted(found)


def quoted(text: str) -> str:
    """The text as a quoted string (RFC 3501, 9)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _words(lines: list[Any]) -> list[bytes]:
    return [line for line in lines if isinstance(line, bytes)]
