"""A time as an expression, so that conditions about "now" can be built once and used for each statement."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, Value
from django.utils import timezone


class Now(Value):
    """The time when the statement is written, by this machine's clock; `Now() - timedelta` is earlier than it."""

    def __init__(self, after: timedelta = timedelta(0)) -> None:
        super().__init__(after, output_field=DateTimeField())

    def __add__(self, other: timedelta) -> Now:  # type: ignore[override]
        return Now(self.value + other)

    def __sub__(self, other: timedelta) -> Now:  # type: ignore[override]
        return Now(self.value - other)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """A parameter, computed anew each time."""
        return "%s", (connection.ops.adapt_datetimefield_value(timezone.now() + self.value),)
