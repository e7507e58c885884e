"""What the operations share: the failures they state, and whose rows a list may show."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from api.models import Scope
from api.tokens import Caller
from api.v1.answers import Problem

FAILURES: dict[Any, Any] = {frozenset({400, 401, 403, 404, 422, 429, 503}): Problem}


def caller_of(request: HttpRequest) -> Caller:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller


def seen(request: HttpRequest) -> set[int]:
    """The keys of the accounts whose mail this token may read."""
    return set(caller_of(request).accounts(Scope.READ).values_list("pk", flat=True))
