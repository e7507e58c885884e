"""The audit entry that says which token made a change."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from api.tokens import Caller
from mailbox.models import AuditEntry


def use_of(request: HttpRequest, caller: Caller) -> AuditEntry:
    """The entry of this request, one for all calls; an operation may save it in the transaction of its change."""
    entry: AuditEntry | None = getattr(request, "token_use", None)
    if entry is None:
        detail = f"{caller.token.name}: {request.path.removeprefix(settings.FORCE_SCRIPT_NAME or '')}"
        target = f"token:{caller.token.pk}"
        entry = AuditEntry(user=caller.token.user, verb="use_token", target=target, detail=detail)
        request.token_use = entry  # type: ignore[attr-defined]
    return entry
