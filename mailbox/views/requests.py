"""What every list asks of a request: a limit, a place to go on from, a number. What cannot be is a 400 page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext

from mailbox.models import Account, AuditEntry
from mailbox.permissions import accounts_for, has_role_everywhere

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = TypeVar("Row")


class Refused(BadRequest):
    """The address asks for what cannot be; str() is the sentence the 400 page shows."""


def signed_in_user(request: HttpRequest) -> User:
    """The user; LoginRequiredMiddleware has let nobody else through."""
    return cast(User, request.user)


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


def number_of(request: HttpRequest, name: str) -> int | None:
    """A primary key from the address, None when absent; Http404 for what cannot be one."""
    given = request.GET.get(name, "")
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise Http404(f"No such {name}.")
    return int(given)


@dataclass(frozen=True)
class Cursor:
    """Where a newest-first list goes on: after the row with this time and key. Never an offset."""

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


def cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], Row | None]:
    """Rows fetched as limit + 1: the page, and its last row when more follows."""
    page = list(rows[:limit])
    return page, page[-1] if len(rows) > limit else None


def next_page(request: HttpRequest, before: object) -> str:
    """The address of this list further down, all filters kept."""
    query = request.GET.copy()
    query["before"] = str(before)
    return f"?{query.urlencode()}"


def of_accounts(
    rows: QuerySet[Any], request: HttpRequest, role: str = "viewer", field: str = "account"
) -> QuerySet[Any]:
    """The rows whose account the user has this role for; no condition at all for whoever has it everywhere."""
    user = request.user
    return rows if has_role_everywhere(user, role) else rows.filter(**{f"{field}__in": accounts_for(user, role)})


def record(request: HttpRequest, verb: str, target: str, account: Account | None = None, detail: str = "") -> None:
    """Keep who did what, when."""
    AuditEntry.objects.create(user=signed_in_user(request), account=account, verb=verb, target=target, detail=detail)


def back_to(request: HttpRequest, otherwise: str) -> str:
    """Where a form asked to return to, when that is a page of ours."""
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # A path only: redirect() takes any other word for the name of a view, and raises when there is none.
    return target if safe and target.startswith("/") else otherwise
