"""Keeps the admin's lists fast with millions of rows: no count and no filter reads a whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.utils.functional import cached_property

from mailbox.localized import grouped

if TYPE_CHECKING:
    BasePaginator = Paginator[Any]
else:
    BasePaginator = Paginator

COUNTED_AT_MOST = 10_000  # rows, 200 pages; a filter leads to older ones
LOOKED_AT = 2_000  # newest rows whose values a filter offers


class AtLeast(int):
    """A count that was cut off; shown as "10,000+"."""

    def __str__(self) -> str:
        return f"{grouped(int(self))}+"


class EndingPaginator(BasePaginator):
    """Counts and pages through the first COUNTED_AT_MOST rows of a list."""

    @cached_property
    def count(self) -> int:
        number: int = self.object_list[: COUNTED_AT_MOST + 1].count()  # type: ignore[attr-defined]
        return AtLeast(COUNTED_AT_MOST) if number > COUNTED_AT_MOST else number


class RecentValues(admin.AllValuesFieldListFilter):
    """A filter that offers the values of the newest LOOKED_AT rows, as all values would need the whole table read."""

    def __init__(self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        newest = model._default_manager.order_by("-pk").values("pk")[:LOOKED_AT]
        values = model._default_manager.filter(pk__in=newest).order_by(field.name).values_list(field.name, flat=True)
        self.lookup_choices = values.distinct()


OfAccount = ("account", admin.RelatedFieldListFilter)
