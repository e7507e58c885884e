"""The entry of the activity that says by which token something was changed."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from api.tokens import Caller
from mailbox.models import AuditEntry


def use_of(request: HttpRequest, caller: Caller) -> AuditEntry:
    """The same for as long as the request lasts: an operation may write it in the transaction of what it changes."""
    entry: AuditEntry | None = getattr(request, "token_use", None)
    if entry is None:
        detail = f"{caller.token.name}: {request.path.removeprefix(settings.FORCE_SCRIPT_NAME or '')}"
        target = f"token:{caller.token.pk}"
        entry = AuditEntry(user=caller.token.user, verb="use_token", target=target, detail=detail)
        request.token_use = entry  # type: ignore[attr-defined]
    return entry
