"""Sending figures of accounts, for the list of accounts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from mailbox.accounts.outbox_figures import OutboxFigures
from mailbox.models import Account
from outbox.models import OutboxMessage
from outbox.models.messages import OutboxQuerySet


def figures(account_ids: Collection[int], midnight: datetime, *, is_list: bool) -> dict[int, OutboxFigures]:
    """account pk -> sending figures. Of sent mail, an index is read as far as today's reach."""
    sent = OutboxMessage.objects.filter(account=OuterRef("pk"), status="sent", sent_at__isnull=False).order_by()
    newest = sent.order_by("-sent_at", "-pk")
    waiting = OutboxMessage.objects.waiting_of_accounts().filter(account=OuterRef("pk")).order_by().values("account")
    rows = Account.objects.filter(pk__in=account_ids).annotate(
        queued=Coalesce(Subquery(waiting.annotate(n=Count("pk")).values("n")), 0),
        sent_today=Coalesce(Subquery(_number(sent.filter(sent_at__gte=midnight))), 0),
        last_sent_at=Subquery(newest.values("sent_at")[:1]),
        last_sent=Subquery(newest.values("pk")[:1]),
    )
    held = {"failed": OutboxMessage.objects.failed_for_good(), "uncertain": OutboxMessage.objects.needs_decision()}
    if not is_list:
        counts = {name: Coalesce(Subquery(_number(found.whose([*account_ids]))), 0) for name, found in held.items()}
        rows = rows.annotate(**counts)
        return {row["pk"]: OutboxFigures(**_without_pk(row)) for row in rows.values(*_COLUMNS, *held)}
    by_account = _held(account_ids)
    return {
        row["pk"]: OutboxFigures(**_without_pk(row), **by_account.get(row["pk"], {})) for row in rows.values(*_COLUMNS)
    }


_COLUMNS = ("pk", "queued", "sent_today", "last_sent_at", "last_sent")


def _without_pk(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "pk"}


def _number(rows: OutboxQuerySet) -> QuerySet[Any]:
    return rows.order_by().values("status").annotate(n=Count("pk")).values("n")


def _held(account_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """account pk -> numbers of unsent mail; one query over all unsent rows, rather than one for each account."""
    held = OutboxMessage.objects.filter(status="failed").exclude(hold="").whose(account_ids).order_by()
    found: dict[int, dict[str, Any]] = {}
    for account, hold, number in held.values_list("account", "hold").annotate(Count("pk")):
        name = "uncertain" if hold == OutboxMessage.Hold.UNCERTAIN else "failed"
        of_account = found.setdefault(account, {})
        of_account[name] = of_account.get(name, 0) + number
    return found
