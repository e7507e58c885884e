"""Shared by the operations: their failure responses, and the accounts whose rows a token may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone

from api.models import Scope
from api.tokens import Caller
from api.v1.protocol.answers import Problem
from mailbox import features
from mailbox.models import Account, Feature
from mailbox.permissions import zone_of

FAILURES: dict[Any, Any] = {frozenset({400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503}): Problem}


def caller_of(request: HttpRequest) -> Caller:
    """The program whose token the request has; for operations, which are called only with a valid one."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller


def seen(request: HttpRequest) -> set[int]:
    """The pks of the accounts whose mail this token may read."""
    return set(caller_of(request).accounts(Scope.READ).values_list("pk", flat=True))


def seen_or_all(request: HttpRequest) -> set[int] | None:
    """seen(), but None for a token that may read every account: queries without that filter have better plans."""
    return None if caller_of(request).has_everywhere(Scope.READ) else seen(request)


def account_of(request: HttpRequest, pk: int, scope: Scope) -> Account:
    """The account, if the token and its user's role cover it for this scope. Raises Http404."""
    return get_object_or_404(caller_of(request).accounts(scope).with_transports(), pk=pk)


def accounts_of(request: HttpRequest, pks: Sequence[int], scope: Scope) -> list[Account]:
    """The accounts with these pks, by address. Raises Http404 unless the token covers each of them for this scope."""
    asked = set(pks)
    found = list(caller_of(request).accounts(scope).filter(pk__in=asked).order_by("email"))
    if len(found) != len(asked):
        raise Http404
    return found


def administers(caller: Caller) -> bool:
    """Whether the token and its user's role hold for administering all accounts."""
    return Scope.ADMINISTER.value in caller.token.scopes and caller.has_everywhere(Scope.ADMINISTER)


@contextmanager
def users_time(request: HttpRequest) -> Iterator[None]:
    """A context in which days, and times without a zone, are in the time zone of the token's user."""
    with timezone.override(zone_of(caller_of(request).token.user)):
        yield


def asked_accounts(request: HttpRequest, account: int | None) -> set[int] | None:
    """The pks of accounts whose rows a list shows, None for all: for newest_of_accounts(). Raises Http404."""
    if account is None:
        return seen_or_all(request)
    account_of(request, account, Scope.READ)
    return {account}


def readable_accounts(request: HttpRequest, account: int | None) -> set[int] | None:
    """asked_accounts() without those whose received mail may not be read. Raises FeatureOff if none is left."""
    accounts = asked_accounts(request, account)
    off = features.those_off(Feature.INBOX_READ, among=accounts)
    if not off:
        return accounts
    left = (seen(request) if accounts is None else accounts) - off
    if not left:
        asked = Account.objects.get(pk=account) if account is not None else None
        raise features.refused(Feature.INBOX_READ, asked)
    return left
