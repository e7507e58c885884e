"""Suppression lists: addresses that accounts do not write to. List, add, remove, export and import."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, account_of, asked_accounts, caller_of
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.views.pagination import cut
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.requests import Refused
from outbox.compose import suppression
from outbox.errors import ValidationFailed
from outbox.models import SuppressedAddress
from outbox.views.lists.suppressed import as_csv, import_csv, put_on_list, take_off_list

router = Router(tags=["addresses not written to"])
CSV: dict[Any, Any] = {200: None, **FAILURES}
AS_CSV = {"responses": {200: {"content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}}}}}


class SuppressedState(Schema):
    """An address on an account's list. `words`: what put it there."""

    id: int
    account_id: int
    address: str
    reason: str
    since: datetime
    words: str

    @classmethod
    def of(cls, row: SuppressedAddress) -> SuppressedState:
        return cls(**columns(cls, row))


class NewSuppression(Asked):
    """An address to put on an account's list by hand; `words` say why."""

    account_id: Number
    address: Text
    words: Text = ""


@router.get("/suppressed", response={200: Answer[Page[SuppressedState]], **FAILURES}, operation_id="list_suppressed")
def list_suppressed(
    request: HttpRequest, account: Number | None = None, q: Text = "", limit: Limit = 50, before: Number | None = None
) -> Answer[Page[SuppressedState]]:
    """Suppressed addresses, newest first. `q`: a part of the address."""
    rows = SuppressedAddress.objects.order_by("-pk")
    if text := q.strip().lower()[:320]:
        rows = rows.filter(address__contains=text)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    rows = newest_of_accounts(rows, asked_accounts(request, account), limit + 1)
    page, last = cut(list(rows[: limit + 1]), limit)
    return Answer(data=Page(items=[SuppressedState.of(row) for row in page], next=str(last.pk) if last else None))


@router.get("/suppressed/csv", response=CSV, operation_id="export_suppressed", openapi_extra=AS_CSV)
def export_suppressed(request: HttpRequest, account: Number | None = None) -> HttpResponseBase:
    """All suppressed addresses as CSV, for a spreadsheet or the import into another installation."""
    accounts = asked_accounts(request, account)
    rows = SuppressedAddress.objects.order_by("-pk")
    return as_csv(rows if accounts is None else rows.filter(account__in=accounts))


class SuppressionFile(Asked):
    """A file to import."""

    csv: Annotated[Text, Field(max_length=suppression.MOST_BYTES, description="As the export writes it.")]


class Imported(Schema):
    """The result of an import."""

    new: int = Field(description="Addresses that were not on the list.")


@router.post("/suppressed/csv", response={200: Answer[Imported], **FAILURES}, operation_id="import_suppressed")
def import_suppressed(
    request: HttpRequest, given: SuppressionFile, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[Imported]] | HttpResponse:
    """Import all lines or none. Addresses on the list keep their reason and date, so a file may be sent again."""
    operated, lines = caller_of(request).accounts(Scope.OPERATE), given.csv.encode("utf-8", "replace")

    def create() -> Status[Answer[Imported]]:
        try:
            return Status(200, Answer(data=Imported(new=import_csv(request, lines, operated))))
        except suppression.NotOperated:
            raise Http404 from None
        except suppression.CannotImport as error:
            raise Refused(str(error)) from error

    return once(request, idempotency_key, create)


@router.post("/suppressed", response={201: Answer[SuppressedState], **FAILURES}, operation_id="suppress")
def suppress(
    request: HttpRequest, given: NewSuppression, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[SuppressedState]] | HttpResponse:
    """Refuse new mail of this account to the address from now on. An address on the list keeps its reason and date."""
    account = account_of(request, given.account_id, Scope.OPERATE)

    def create() -> Status[Answer[SuppressedState]]:
        try:
            new = suppression.by_hand(given.address, given.words)
        except ValidationFailed as error:
            raise Refused(str(error)) from error
        put_on_list(request, account, new)
        row = SuppressedAddress.objects.get(account=account, address=new.address.lower())
        return Status(201, Answer(data=SuppressedState.of(row)))

    return once(request, idempotency_key, create)


@router.get("/suppressed/{pk}", response={200: Answer[SuppressedState], **FAILURES}, operation_id="get_suppressed")
def get_suppressed(request: HttpRequest, pk: Path[Number]) -> Answer[SuppressedState]:
    """One suppressed address. Its ETag is for If-Match."""
    return _state(request, pk, Scope.READ)


def _state(request: HttpRequest, pk: int, scope: Scope) -> Answer[SuppressedState]:
    rows = SuppressedAddress.objects.filter(account__in=caller_of(request).accounts(scope))
    return Answer(data=SuppressedState.of(get_object_or_404(rows, pk=pk)))


@router.delete(
    "/suppressed/{pk}", response={200: Answer[None], **FAILURES}, operation_id="unsuppress", openapi_extra=IF_MATCH
)
def unsuppress(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Allow mail to the address again. Heeds If-Match."""
    operated = caller_of(request).accounts(Scope.OPERATE)
    row = get_object_or_404(SuppressedAddress.objects.select_related("account"), pk=pk, account__in=operated)
    rows = SuppressedAddress.objects.filter(pk=pk)
    with unchanged(request, rows, lambda: _state(request, pk, Scope.OPERATE)):
        take_off_list(request, row)
    return Answer(data=None)
