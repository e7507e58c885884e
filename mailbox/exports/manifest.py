"""The manifest of an export, as CSV and JSON: one line for each place of each exported mail. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from mailbox.csv_text import lines_of
from mailbox.plain_words import escaped_json

Line = dict[str, Any]
# `file`: the mail's name in a zip. `offset`: where its "From " line begins in an mbox, in bytes. A mail with neither is
# missing: the raw store did not have its bytes.
COLUMNS = (
    *("file", "offset", "account", "folder", "uidvalidity", "uid", "message_id"),
    *("sha256", "size", "internal_date", "complete"),
)


def line(**values: Any) -> Line:
    """A line of the manifest from values by column; "" in the columns that are not given."""
    return dict.fromkeys(COLUMNS, "") | values


def cells(lines: Iterable[Line]) -> Iterator[list[object]]:
    """The lines' values in the order of COLUMNS, for a CSV writer."""
    return ([each.get(name, "") for name in COLUMNS] for each in lines)


def as_json(lines: Iterable[Line], *, query: str, made_at: datetime, mails: int, missing: int) -> bytes:
    """The manifest as UTF-8 JSON. missing: how many of the mails had no bytes in the raw store."""
    about = {"query": query, "made_at": made_at.isoformat(), "mails": mails, "missing": missing}
    return escaped_json(json.dumps(about | {"lines": list(lines)}, ensure_ascii=False, indent=1)).encode()


def as_csv(lines: Iterable[Line]) -> bytes:
    """The manifest as UTF-8 CSV, with the names of COLUMNS first."""
    return "".join(lines_of(COLUMNS, cells(lines))).encode()
