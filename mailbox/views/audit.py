"""Who did what, when: rows that the activity page shows."""

from __future__ import annotations

from django.http import HttpRequest

from mailbox.models import Account, AuditEntry
from mailbox.views.requests import signed_in_user


def record(request: HttpRequest, verb: str, target: str, account: Account | None = None, detail: str = "") -> None:
    """Keep who did what, when."""
    AuditEntry.objects.create(user=signed_in_user(request), account=account, verb=verb, target=target, detail=detail)
