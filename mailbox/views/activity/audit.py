"""Records what users do, for the activity page."""

from __future__ import annotations

from django.http import HttpRequest

from mailbox.models import Account, AuditEntry, audit_part
from mailbox.views.requests import signed_in_user


def record(request: HttpRequest, verb: str, target: str, account: Account | None = None, detail: str = "") -> None:
    """Save an AuditEntry of this request's user. `target`: kind and pk, such as "account:7"."""
    values = {"account": account, "verb": verb, "target": target, "detail": detail}
    AuditEntry.objects.create(user=signed_in_user(request), part_of_id=audit_part.click(), **values)
