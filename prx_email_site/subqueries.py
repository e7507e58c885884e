"""Expressions that answer one value each from other tables, so that one query can have many of them."""

from __future__ import annotations

from typing import Any

from django.db.models import DateTimeField, Func, IntegerField, QuerySet, Subquery


class _Number(Subquery):
    output_field = IntegerField()
    empty_result_set_value = 0  # where Django knows without a query that there is no row


def counted(rows: QuerySet[Any], of: str = "pk") -> Subquery:
    """The number of rows, or of distinct values of a field."""
    number = Func(of, function="COUNT", template="%(function)s(DISTINCT %(expressions)s)")
    number = Func("pk", function="COUNT") if of == "pk" else number
    return _Number(rows.order_by().annotate(_count=number).values("_count"))


def earliest(rows: QuerySet[Any], field: str) -> Subquery:
    """The earliest time in a field; None without rows."""
    found = rows.order_by().annotate(_first=Func(field, function="MIN", output_field=DateTimeField()))
    return Subquery(found.values("_first"), output_field=DateTimeField())


class AllOf(Func):
    """The values of a JSON column as one list, for a Subquery; None without rows."""

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template="JSON_GROUP_ARRAY(JSON(%(expressions)s))", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template="JSONB_AGG(%(expressions)s)", **context)
