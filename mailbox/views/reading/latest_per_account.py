"""Lists of some accounts. `account IN (...)` in the order of a date has no good plan: either all mail of these accounts
is sorted, or all there is walked over until a page of theirs is full. So each account is asked for its newest rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest

from mailbox.models import Account
from mailbox.permissions import Role, has_role_everywhere

MOST = 200  # accounts; SQLite puts no more than 500 queries together
Rows = TypeVar("Rows", bound=QuerySet[Any])


def newest_of_accounts(rows: Rows, accounts: Collection[int] | None, limit: int, also: Q | None = None) -> Rows:
    """Those of these rows, ordered and of any account, that a page of `limit` may hold; all for None, which stands for
    every account. One query still, which reads `limit` rows of each account by its index over account and order.

    `also`: rows that count as well, whatever their account; it has an index too.
    """
    if accounts is None:
        return rows
    wanted = [Q(account=account) for account in sorted(accounts)] + ([also] if also else [])
    if len(wanted) == 1:
        return rows.filter(wanted[0])
    if not 0 < len(wanted) <= MOST:
        return rows.filter(Q(account__in=accounts) | (also or Q(pk__in=[])))
    parts, parameters = [], list[Any]()
    for number, condition in enumerate(wanted):
        sql, given = rows.filter(condition).values("pk")[:limit].query.sql_with_params()
        parts.append(f"SELECT * FROM ({sql}) AS part_{number}")  # noqa: S608 - what the ORM wrote
        parameters += given
    return rows.filter(pk__in=RawSQL(" UNION ALL ".join(parts), parameters))  # noqa: S611 - as above


def of_some(request: HttpRequest, accounts: Collection[Account]) -> set[int] | None:
    """For newest_of_accounts(): None for whoever sees every account, else the keys of those given."""
    return None if has_role_everywhere(request.user, Role.VIEWER) else {account.pk for account in accounts}
