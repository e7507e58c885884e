"""Exports of received mail as one file: create, follow, download, remove.

An export covers the accounts that the token's user operates, so it needs a token for all accounts. To ask for one and
to download it take the scope `read` as well: it is mail.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, administers, caller_of
from api.v1.protocol.answers import Answer, Asked, Number, Text, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.files import FILE, file_answer, of_type
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.exports import requests
from mailbox.exports.selection import Selection, SelectionInvalid
from mailbox.mime.message import AttachmentBytes
from mailbox.models import Export
from mailbox.views.requests import Refused

router = Router(tags=["exports"])


class NewExport(Asked):
    """What to export: the mail that matches all of these."""

    form: Literal["zip", "mbox"]
    q: Annotated[Text, Field(description="A search, as typed into the search box. Empty: all.")] = ""
    account_id: Number | None = None
    folder_id: Number | None = None


class ExportState(Schema):
    """An export. `size`: bytes of the file so far."""

    id: int
    form: str
    asked_at: datetime
    finished_at: datetime | None
    ends_at: datetime | None = Field(description="From then on the file is not to be had.")
    total: int | None = Field(description="Mails; null before they are counted.")
    done: int
    missing: int = Field(description="Mails without stored bytes: the manifest names them, the file lacks them.")
    size: int
    error: str = Field(description="Why it waits; of a finished one, why there is no file.")

    @classmethod
    def of(cls, row: Export) -> ExportState:
        return cls(**columns(cls, row))


@router.post("/exports", response={202: Answer[ExportState], **FAILURES}, operation_id="create_export")
def create_export(
    request: HttpRequest, given: NewExport, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[ExportState]] | HttpResponse:
    """Have workers make a zip of .eml files with a manifest, or an mbox. Mail that arrives later is not in it. Needs
    the scope read, too."""
    caller_of(request).demand_everywhere(Scope.OPERATE)
    caller_of(request).demand_everywhere(Scope.READ)
    user = caller_of(request).token.user
    named = {"account": given.account_id, "folder": given.folder_id}
    wanted = Selection(q=given.q.strip(), **{name: str(key) for name, key in named.items() if key is not None})
    try:
        selection = Selection.of(wanted.query)
    except SelectionInvalid as error:
        raise Refused(str(error)) from error
    if not selection.accounts(user).exists():
        raise Http404

    def create() -> Status[Answer[ExportState]]:
        made = requests.begin(selection, given.form, user, uuid.uuid4(), timezone.now())
        return Status(202, Answer(data=ExportState.of(made)))

    return once(request, idempotency_key, create)


@router.get("/exports/{pk}", response={200: Answer[ExportState], **FAILURES}, operation_id="get_export")
def get_export(request: HttpRequest, pk: Path[Number]) -> Answer[ExportState]:
    """The progress of an export."""
    return Answer(data=ExportState.of(_found(request, pk)))


@router.get(
    "/exports/{pk}/file",
    response=FILE,
    operation_id="get_export_file",
    openapi_extra=of_type("application/zip", "application/octet-stream"),
)
def get_export_file(request: HttpRequest, pk: Path[Number]) -> HttpResponseBase:
    """The file: a zip, or an mbox (RFC 4155, quoted as mboxrd). 409 while there is none. Needs the scope read, too."""
    caller_of(request).demand_everywhere(Scope.READ)
    found, now = _found(request, pk), timezone.now()
    if found.finished_at is None or found.error or (found.ends_at and found.ends_at <= now):
        raise Conflict(gettext("There is no such file now."))
    user = caller_of(request).token.user
    if not requests.may_read(user, found):
        raise Http404
    requests.note("export_downloaded", found, user)
    content = AttachmentBytes(found.size, requests.pieces(found))
    name, kind = f"mail-{found.pk}.{found.form}", "application/zip" if found.form == "zip" else "application/mbox"
    return file_answer(request, content, name, kind, found.key.hex)


@router.delete(
    "/exports/{pk}", response={200: Answer[None], **FAILURES}, operation_id="remove_export", openapi_extra=IF_MATCH
)
def remove_export(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Remove an export; one in progress is stopped. The mail itself is kept. Heeds If-Match."""
    found = _found(request, pk)
    with unchanged(request, Export.objects.filter(pk=pk), lambda: Answer(data=ExportState.of(_found(request, pk)))):
        requests.remove(found, caller_of(request).token.user)
    return Answer(data=None)


def _found(request: HttpRequest, pk: int) -> Export:
    """The export, if the token's user may see it, as on its page. One of a person's data only for a token that
    administers all accounts. Raises Http404."""
    caller = caller_of(request)
    caller.demand_everywhere(Scope.OPERATE)
    rows = Export.objects.filter(requests.seen_by(caller.token.user))
    return get_object_or_404(rows if administers(caller) else rows.filter(what=Export.What.SEARCH), pk=pk)
