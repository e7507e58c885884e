"""The addresses that accounts do not write to: listed, added, taken off."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.answers import Answer, Limit, Number, Page, Text, columns
from api.v1.common import FAILURES, account_of, asked_accounts, caller_of
from api.v1.idempotency import IDEMPOTENCY_KEY, Key, once
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
    id: int
    account_id: int
    address: str
    reason: str
    since: datetime
    words: str

    @classmethod
    def of(cls, row: SuppressedAddress) -> SuppressedState:
        return cls(**columns(cls, row))


class NewSuppression(Schema):
    account_id: Number
    address: Text
    words: Text = ""


@router.get("/suppressed", response={200: Answer[Page[SuppressedState]], **FAILURES}, operation_id="list_suppressed")
def list_suppressed(
    request: HttpRequest, account: Number | None = None, q: Text = "", limit: Limit = 50, before: Number | None = None
) -> Answer[Page[SuppressedState]]:
    """Newest first; `q`: a part of the address."""
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
    """All of them as CSV, for a spreadsheet or the import of another installation."""
    accounts = asked_accounts(request, account)
    rows = SuppressedAddress.objects.order_by("-pk")
    return as_csv(rows if accounts is None else rows.filter(account__in=accounts))


class SuppressionFile(Schema):
    csv: Annotated[Text, Field(max_length=suppression.MOST_BYTES, description="As the export writes it.")]


class Imported(Schema):
    new: int = Field(description="Addresses that were not on the list.")


@router.post("/suppressed/csv", response={200: Answer[Imported], **FAILURES}, operation_id="import_suppressed")
def import_suppressed(request: HttpRequest, given: SuppressionFile) -> Answer[Imported]:
    """All lines or none. What is listed keeps its reason and date, so that the same file may be sent again."""
    operated = caller_of(request).accounts(Scope.OPERATE)
    try:
        return Answer(data=Imported(new=import_csv(request, given.csv.encode("utf-8", "replace"), operated)))
    except suppression.NotOperated:
        raise Http404 from None
    except suppression.CannotImport as error:
        raise Refused(str(error)) from error


@router.post("/suppressed", response={201: Answer[SuppressedState], **FAILURES}, operation_id="suppress")
def suppress(
    request: HttpRequest, given: NewSuppression, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[SuppressedState]] | HttpResponse:
    """From now on a new mail of this account to the address is refused. One that is listed keeps its reason and
    date."""
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


@router.delete("/suppressed/{pk}", response={200: Answer[None], **FAILURES}, operation_id="unsuppress")
def unsuppress(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """The account writes to the address again."""
    operated = caller_of(request).accounts(Scope.OPERATE)
    row = get_object_or_404(SuppressedAddress.objects.select_related("account"), pk=pk, account__in=operated)
    take_off_list(request, row)
    return Answer(data=None)
