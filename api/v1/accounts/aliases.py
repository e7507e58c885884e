"""Aliases: further addresses of an account, from which mail may be sent."""

from __future__ import annotations

from contextlib import AbstractContextManager

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status

from api.models import Scope
from api.v1.protocol.access import FAILURES, account_of, caller_of
from api.v1.protocol.answers import Answer, Asked, Number, Text, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.models import AccountAlias
from mailbox.views.accounts.aliases import AliasForm, save_alias, take_away
from mailbox.views.requests import Refused

router = Router(tags=["accounts"])


class AliasState(Schema):
    """An alias. `signature` goes below mail that is written from it."""

    id: int
    account_id: int
    email: str
    display_name: str
    signature: str

    @classmethod
    def of(cls, row: AccountAlias) -> AliasState:
        return cls(**columns(cls, row))


class Alias(Asked):
    """An alias as it is to be. Absent members become empty."""

    email: Text
    display_name: Text = ""
    signature: Text = ""


def _saved(request: HttpRequest, row: AccountAlias, given: Alias, verb: str) -> Answer[AliasState]:
    form = AliasForm(given.model_dump(), instance=row)
    if not (form.is_valid() and save_alias(request, form, verb)):
        raise Refused(" ".join(str(each) for errors in form.errors.values() for each in errors))
    return Answer(data=AliasState.of(row))


def _administered(request: HttpRequest, pk: int) -> AccountAlias:
    rows = AccountAlias.objects.select_related("account")
    return get_object_or_404(rows, pk=pk, account__in=caller_of(request).accounts(Scope.ADMINISTER))


def _unchanged(request: HttpRequest, pk: int) -> AbstractContextManager[None]:
    def read() -> Answer[AliasState]:
        return Answer(data=AliasState.of(get_object_or_404(AccountAlias, pk=pk)))

    return unchanged(request, AccountAlias.objects.filter(pk=pk), read)


@router.get("/accounts/{pk}/aliases", response={200: Answer[list[AliasState]], **FAILURES}, operation_id="list_aliases")
def list_aliases(request: HttpRequest, pk: Path[Number]) -> Answer[list[AliasState]]:
    """The aliases of an account, sorted by address."""
    account = account_of(request, pk, Scope.READ)
    return Answer(data=[AliasState.of(row) for row in account.aliases.order_by("email")])


@router.post("/accounts/{pk}/aliases", response={201: Answer[AliasState], **FAILURES}, operation_id="add_alias")
def add_alias(
    request: HttpRequest, pk: Path[Number], given: Alias, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[AliasState]] | HttpResponse:
    """Add an address from which the account may send."""
    row = AccountAlias(account=account_of(request, pk, Scope.ADMINISTER))
    return once(request, idempotency_key, lambda: Status(201, _saved(request, row, given, "add_alias")))


@router.put(
    "/aliases/{pk}",
    response={200: Answer[AliasState], **FAILURES},
    operation_id="change_alias",
    openapi_extra=IF_MATCH,
)
def change_alias(request: HttpRequest, pk: Path[Number], given: Alias) -> Answer[AliasState]:
    """Replace an alias: absent fields become empty. Heeds If-Match."""
    row = _administered(request, pk)
    with _unchanged(request, pk):
        return _saved(request, row, given, "edit_alias")


@router.get("/aliases/{pk}", response={200: Answer[AliasState], **FAILURES}, operation_id="get_alias")
def get_alias(request: HttpRequest, pk: Path[Number]) -> Answer[AliasState]:
    """One alias. Its ETag is for If-Match."""
    seen = caller_of(request).accounts(Scope.READ)
    return Answer(data=AliasState.of(get_object_or_404(AccountAlias, pk=pk, account__in=seen)))


@router.delete(
    "/aliases/{pk}", response={200: Answer[None], **FAILURES}, operation_id="remove_alias", openapi_extra=IF_MATCH
)
def remove_alias(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Remove an alias. Mail from it that is in the outbox is still sent. Heeds If-Match."""
    row = _administered(request, pk)
    with _unchanged(request, pk):
        take_away(request, row)
    return Answer(data=None)
