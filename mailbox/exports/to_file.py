"""Writes an export directly into a file, in the foreground, for commands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mailbox.exports.mails import MailSource
from mailbox.exports.manifest import Line
from mailbox.exports.writing import last_piece, next_piece
from mailbox.exports.zip_pieces import Entry


@dataclass(frozen=True)
class Written:
    """What was written. `missing`: how many of the mails had no bytes in the raw store. `size`: bytes."""

    mails: int
    missing: int
    size: int
    lines: list[Line]


def write(source: MailSource, form: str, path: Path, now: datetime, *, query: str = "") -> Written:
    """Write the export to `path`. It is written as PATH.part and renamed at the end, so it is complete or not there.

    Raises OSError.
    """
    draft = path.with_name(f"{path.name}.part")
    lines: list[Line] = []
    entries: list[Entry] = []
    mails = missing = size = 0
    with draft.open("wb") as file:
        piece = next_piece(source, form, None, 0)
        while not piece.is_last:
            file.write(piece.content)
            lines += piece.lines
            entries += piece.entries
            mails, missing, size = mails + piece.mails, missing + piece.missing, size + len(piece.content)
            piece = next_piece(source, form, piece.after, size)
        about = {"query": query, "made_at": now, "mails": mails, "missing": missing}
        end = last_piece(source, form, size, iter(lines), iter(entries), **about)
        file.write(end)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return Written(mails, missing, size + len(end), lines)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that it is complete or not there. Raises OSError."""
    draft = path.with_name(f"{path.name}.part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
