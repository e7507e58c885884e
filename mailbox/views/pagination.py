"""Keyset pagination of lists ordered by time: limit, cursor and the next page's URL. No offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext

from mailbox.views.requests import Refused

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = TypeVar("Row")


def limit_of(request: HttpRequest) -> int:
    """`?limit=`, from 1 to 500; 50 when it is absent. Raises Refused."""
    given = request.GET.get("limit", str(DEFAULT_LIMIT))
    # The length is checked first, as int() raises for thousands of digits.
    if not given.isascii() or not given.isdigit() or len(given) > 9 or not 1 <= int(given) <= MAX_LIMIT:
        raise Refused(
            gettext("The limit is a number from 1 to %(most)s; “%(given)s” is not.")
            % {"most": MAX_LIMIT, "given": given[:40]}
        )
    return int(given)


@dataclass(frozen=True)
class Cursor:
    """The position in a list ordered by time: after the row with this time and pk."""

    at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.pk}"

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor in the URL; None for "". Raises Refused for a text that str() of a cursor never is."""
        if not text:
            return None
        try:
            at, pk = (int(part) for part in text.split("-"))
            return cls(_EPOCH + timedelta(microseconds=at), pk)
        except (ValueError, OverflowError) as error:
            raise Refused(gettext("The address names no place in this list; start from its first page.")) from error

    def older(self, field: str) -> Q:
        """Rows after this one in descending order of (time, pk). The bound on the time alone lets an index be used."""
        return Q(**{f"{field}__lte": self.at}) & (Q(**{f"{field}__lt": self.at}) | Q(pk__lt=self.pk))

    def newer(self, field: str) -> Q:
        """Rows after this one in ascending order."""
        return Q(**{f"{field}__gte": self.at}) & (Q(**{f"{field}__gt": self.at}) | Q(pk__gt=self.pk))


def cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], Row | None]:
    """(the page, its last row if more follow, else None), of rows that were read with limit + 1."""
    page = list(rows[:limit])
    return page, page[-1] if len(rows) > limit else None


class FirstRows(list[Row]):
    """The first rows of a list without further pages. `is_cut`: there are more, which _cut.html says below them."""

    is_cut: bool

    def __init__(self, rows: QuerySet[Any] | Sequence[Row], most: int) -> None:
        found = list(rows[: most + 1])
        super().__init__(found[:most])
        self.is_cut = len(found) > most


def next_page(request: HttpRequest, before: object) -> str:
    """The URL of the next page, with all filters."""
    query = request.GET.copy()
    query["before"] = str(before)
    return f"?{query.urlencode()}"
