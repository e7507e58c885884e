"""Constants that stand in a statement itself."""

from __future__ import annotations

from typing import Any

from django.db.models import TextField, Value


class Literal(Value):
    """A constant of our own code, never anybody's input: "" or a name. Raises ValueError for other words.

    SQLite takes a partial index only where the statement has the index's condition. It compares the values of
    parameters, too, but not of those in a list: for `IN (?, ?)` such an index is passed over (3.40), and
    EXPLAIN compares no values.
    """

    def __init__(self, word: str) -> None:
        if word and not word.isidentifier():
            raise ValueError(f"{word!r} is no name.")
        super().__init__(word, output_field=TextField())

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """The word in quotes, without a parameter."""
        return f"'{self.value}'", ()
