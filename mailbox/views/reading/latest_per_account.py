"""Pages of the newest rows of some accounts.

`account IN (...) ORDER BY date` has no good query plan: databases either sort all rows of these accounts, or scan the
index by date over all accounts until the page is full. So this reads the newest rows of each account.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest

from mailbox.models import Account
from mailbox.permissions import Role, has_role_everywhere

MOST = 200  # accounts; SQLite allows 500 terms in a compound SELECT
Rows = TypeVar("Rows", bound=QuerySet[Any])


def newest_of_accounts(rows: Rows, accounts: Collection[int] | None, limit: int, also: Q | None = None) -> Rows:
    """The rows of these accounts, restricted to those that can be on the first page of `limit` rows.

    rows: ordered, of any account. accounts: pks; None: all accounts, and `rows` is returned as it is.
    also: a condition for further rows of any account, which needs an index as well.

    The result is one query, which reads at most `limit` rows of each account by an index over account and order.
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
    """The pks of these accounts; None if the user sees all accounts. For newest_of_accounts()."""
    return None if has_role_everywhere(request.user, Role.VIEWER) else {account.pk for account in accounts}
