"""Reads a table of accounts from CSV as spreadsheets write it: UTF-8, column names first, comma, semicolon or tab.

A malformed file is refused as a whole, with the number of the line. No message repeats a cell: after a missing comma it
may be a secret.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass, field

from django.utils.translation import gettext

from mailbox.csv_text import read_cell
from mailbox.localized import listed

_DELIMITERS = ",;\t"


class UnreadableTable(Exception):
    """str() is a sentence that names the line."""


@dataclass(frozen=True)
class TableRow:
    """A row that is not empty. `values`: the cells by column name, not in the repr, as some are secrets."""

    line: int  # of its beginning, from 1 on
    values: dict[str, str] = field(repr=False)


def read_table(content: bytes, known: Collection[str], as_typed: Collection[str] = ()) -> list[TableRow]:
    """The rows that are not empty. Raises UnreadableTable.

    known: the allowed column names. as_typed: columns whose cells are taken as they are, with a leading apostrophe.
    """
    text = _decoded(content)
    head_line = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head_line.count)
    reader, line, rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1, []
    head: list[str] = []
    try:
        for cells in reader:
            if not head:
                head = _checked_head([cell.strip() for cell in cells], known)
            elif any(cell.strip() for cell in cells):
                rows.append(TableRow(line, _named(head, cells, line, as_typed)))
            line = reader.line_num + 1
    except csv.Error:
        words = gettext("Line %(line)s is no CSV: quotation marks around a cell are closed, and those in it doubled.")
        raise UnreadableTable(words % {"line": line}) from None
    return rows


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        words = gettext("Line %(line)s is not UTF-8: save the file as “CSV UTF-8”.")
        raise UnreadableTable(words % {"line": line}) from None
    if "\0" in text:
        words = gettext("Line %(line)s holds a NUL character: save the file as “CSV UTF-8”.")
        raise UnreadableTable(words % {"line": text.count("\n", 0, text.index("\0")) + 1})
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _checked_head(names: list[str], known: Collection[str]) -> list[str]:
    for number, name in enumerate(names, start=1):
        if name not in known:
            words = gettext("The first line names the columns, and its column %(number)s is none of: %(columns)s.")
            raise UnreadableTable(words % {"number": number, "columns": listed(sorted(known))})
        if name in names[: number - 1]:
            raise UnreadableTable(gettext("The first line names the column %(column)s twice.") % {"column": name})
    if "email" not in names:
        raise UnreadableTable(gettext("The first line names no column email."))
    return names


def _named(head: list[str], cells: list[str], line: int, as_typed: Collection[str]) -> dict[str, str]:
    if len(cells) != len(head):
        words = gettext("Line %(line)s has %(cells)s cells, and the first line names %(columns)s columns.")
        raise UnreadableTable(words % {"line": line, "cells": len(cells), "columns": len(head)})
    given = zip(head, cells, strict=True)
    return {name: cell if name in as_typed else read_cell(cell) for name, cell in given}
