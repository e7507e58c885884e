"""Constants that stand in a statement itself."""

from __future__ import annotations

from typing import Any

from django.db.models import TextField, Value


class Literal(Value):
    """A constant of our own code, never anybody's input: "" or a name. Raises ValueError for other words.

    SQLite takes a partial index only where it can compare the index's condition with that of the statement, and it
    cannot when the statement has parameters in it (https://www.sqlite.org/partialindex.html, section 3).
    """

    def __init__(self, word: str) -> None:
        if word and not word.isidentifier():
            raise ValueError(f"{word!r} is no name.")
        super().__init__(word, output_field=TextField())

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """The word in quotes, without a parameter."""
        return f"'{self.value}'", ()
