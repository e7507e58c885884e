"""Keyset pagination of lists by time: a limit, a cursor, the next page's address. Never an offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext

from mailbox.views.requests import Refused

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = TypeVar("Row")


def limit_of(request: HttpRequest) -> int:
    """`?limit=` from 1 to 500, 50 when absent; raises Refused."""
    given = request.GET.get("limit", str(DEFAULT_LIMIT))
    # The length first: int() raises for thousands of digits.
    if not given.isascii() or not given.isdigit() or len(given) > 9 or not 1 <= int(given) <= MAX_LIMIT:
        raise Refused(
            gettext("The limit is a number from 1 to %(most)s; “%(given)s” is not.")
            % {"most": MAX_LIMIT, "given": given[:40]}
        )
    return int(given)


@dataclass(frozen=True)
class Cursor:
    """Where a list by time goes on: after the row with this time and key. Never an offset."""

    at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.pk}"

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """Raises Refused for what no list has written."""
        if not text:
            return None
        try:
            at, pk = (int(part) for part in text.split("-"))
            return cls(_EPOCH + timedelta(microseconds=at), pk)
        except (ValueError, OverflowError) as error:
            raise Refused(gettext("The address names no place in this list; start from its first page.")) from error

    def older(self, field: str) -> Q:
        """Rows after this one, as (time, pk) descending. The plain bound on the time is what an index can use."""
        return Q(**{f"{field}__lte": self.at}) & (Q(**{f"{field}__lt": self.at}) | Q(pk__lt=self.pk))

    def newer(self, field: str) -> Q:
        """Rows after this one where the oldest come first."""
        return Q(**{f"{field}__gte": self.at}) & (Q(**{f"{field}__gt": self.at}) | Q(pk__gt=self.pk))


def cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], Row | None]:
    """Rows fetched as limit + 1: the page, and its last row when more follows."""
    page = list(rows[:limit])
    return page, page[-1] if len(rows) > limit else None


def next_page(request: HttpRequest, before: object) -> str:
    """The address of this list further down, all filters kept."""
    query = request.GET.copy()
    query["before"] = str(before)
    return f"?{query.urlencode()}"
