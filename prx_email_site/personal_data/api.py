"""A person's data over the HTTP API: look for it, export it, erase it. It looks into all accounts, as its pages do."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.messages.exports import ExportState
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.models import PersonSearch
from mailbox.views.pagination import cut
from mailbox.views.requests import Refused
from prx_email_site.personal_data import exporting, requests, words
from prx_email_site.personal_data.address import normal

router = Router(tags=["personal data"])
State = PersonSearch.State


class PersonAddress(Asked):
    """The address of the person."""

    address: Text


class Erasure(Asked):
    """What cannot be undone is asked for by name: without `address` as it was looked for, nothing is erased."""

    address: Text = Field(description="Once more, as a confirmation.")
    mentions: bool = Field(False, description="Also mail of others that only mentions the address.")


class PersonalDataLine(Schema):
    """So many rows of a table, and what is done with them."""

    table: str
    number: int
    outcome: str
    stays: bool


class PersonalDataHead(Schema):
    """A search, and its erasure. `state`: counting, counted, erasing, erased or refused. The address goes with the
    erasure; `digest` stays."""

    id: int
    address: str
    digest: str
    state: str
    asked_at: datetime
    confirmed_at: datetime | None
    finished_at: datetime | None
    mentions: bool
    error: str

    @classmethod
    def of(cls, row: PersonSearch) -> PersonalDataHead:
        return cls(**columns(cls, row) | {"error": gettext(row.error) if row.error else ""})


class PersonalDataState(PersonalDataHead):
    """A search or an erasure with what was found."""

    why_not: str = Field(description="Why it cannot be erased now, or empty.")
    lines: list[PersonalDataLine]

    @classmethod
    def of(cls, row: PersonSearch) -> PersonalDataState:
        reason = requests.why_not(row.address) if row.state == State.COUNTED else ""
        found = words.lines_of(row, is_refused=bool(reason))
        lines = [
            PersonalDataLine(table=each.table, number=each.number, outcome=each.outcome, stays=each.stays)
            for each in found
        ]
        own = columns(cls, row) | {"error": gettext(row.error) if row.error else ""}
        return cls(**own, why_not=gettext(reason) if reason else "", lines=lines)


STATE = {200: Answer[PersonalDataState], **FAILURES}
ASKED = {202: Answer[PersonalDataState], **FAILURES}


def _found(request: HttpRequest, pk: int) -> PersonSearch:
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return get_object_or_404(PersonSearch.objects.select_related("user"), pk=pk)


def _counted(request: HttpRequest, pk: int) -> PersonSearch:
    found = _found(request, pk)
    if found.state != State.COUNTED:
        raise Conflict(gettext(requests.NOT_COUNTED))
    return found


@router.get("/persons", response={200: Answer[Page[PersonalDataHead]], **FAILURES}, operation_id="list_persons")
def list_persons(
    request: HttpRequest, limit: Limit = 50, before: Number | None = None
) -> Answer[Page[PersonalDataHead]]:
    """Searches and erasures, newest first. A search without an erasure is kept for a day."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    rows = PersonSearch.objects.defer("found", "named", "document").order_by("-pk")
    rows = rows.filter(pk__lt=before) if before is not None else rows
    page, last = cut(list(rows[: limit + 1]), limit)
    return Answer(data=Page(items=[PersonalDataHead.of(row) for row in page], next=str(last.pk) if last else None))


@router.post("/persons", response=ASKED, operation_id="find_person")
def find_person(
    request: HttpRequest, given: PersonAddress, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[PersonalDataState]] | HttpResponse:
    """Have workers count what is stored of an address, in all tables. Nothing is changed."""
    caller = caller_of(request)
    caller.demand_everywhere(Scope.ADMINISTER)
    address = normal(given.address)
    if not address:
        raise Refused(gettext("Not an address."))

    def begin() -> Status[Answer[PersonalDataState]]:
        made = requests.begin(address, caller.token.user, uuid.uuid4(), timezone.now())
        return Status(202, Answer(data=PersonalDataState.of(made)))

    return once(request, idempotency_key, begin)


@router.get("/persons/{pk}", response=STATE, operation_id="get_person_data")
def get_person_data(request: HttpRequest, pk: Path[Number]) -> Answer[PersonalDataState]:
    """A search or an erasure, with what was found by table. Its ETag is for If-Match."""
    return Answer(data=PersonalDataState.of(_found(request, pk)))


@router.post("/persons/{pk}/export", response={202: Answer[ExportState], **FAILURES}, operation_id="export_person")
def export_person(
    request: HttpRequest, pk: Path[Number], idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[ExportState]] | HttpResponse:
    """Have workers write what a finished search has found into a zip. Follow and fetch it under /exports, which takes
    the scopes operate and read, too."""
    caller = caller_of(request)
    caller.demand_everywhere(Scope.ADMINISTER)

    def begin() -> Status[Answer[ExportState]]:
        found = _counted(request, pk)
        made = exporting.begin(found.address, caller.token.user, uuid.uuid4(), timezone.now())
        return Status(202, Answer(data=ExportState.of(made)))

    return once(request, idempotency_key, begin)


@router.post("/persons/{pk}/erase", response=ASKED, operation_id="erase_person", openapi_extra=IF_MATCH)
def erase_person(request: HttpRequest, pk: Path[Number], given: Erasure) -> Status[Answer[PersonalDataState]]:
    """Have workers erase what a finished search has found, for good. Received mail stays on its server and is not
    fetched again; backups made before still hold it; all exports end. Heeds If-Match."""
    user = caller_of(request).token.user

    def read() -> Answer[PersonalDataState]:
        return Answer(data=PersonalDataState.of(_found(request, pk)))

    _found(request, pk)
    with unchanged(request, PersonSearch.objects.filter(pk=pk), read):
        found = _counted(request, pk)
        if normal(given.address) != found.address:
            raise Refused(gettext("address: it is not the address that was looked for, so nothing is erased."))
        try:
            requests.confirm(found, user, mentions=given.mentions, now=timezone.now())
        except requests.RemovalRefused as refused:
            raise Conflict(gettext(str(refused))) from refused
    return Status(202, read())


@router.get("/persons/{pk}/report", response={200: Answer[dict[str, Any]], **FAILURES}, operation_id="person_report")
def person_report(request: HttpRequest, pk: Path[Number]) -> Answer[dict[str, Any]]:
    """The signed report of an erasure; `manage.py completeness --verify FILE` checks its signature."""
    found = _found(request, pk)
    if not found.document:
        raise Http404
    return Answer(data=found.document)
