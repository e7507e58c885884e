"""The outbox: list, read, and actions on one mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from ninja import Path, Query, Router, Status

from api.models import Scope
from api.v1.outbox.outbox_shapes import (
    Corrections,
    Decision,
    OutboxFilter,
    OutboxHead,
    OutboxWhole,
    Reschedule,
    Retry,
    SeenReports,
)
from api.v1.outbox.sending import state_of
from api.v1.protocol.access import FAILURES, asked_accounts, caller_of, seen
from api.v1.protocol.answers import Answer, Limit, Number, Page, Position, SendState
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.files import ATTACHED, FILE, as_mail, attached_file, file_answer, of_type
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.views.pagination import cut
from mailbox.views.reading.message_parts import raw_or_404
from outbox import api as outbox_api
from outbox.bounces import matching
from outbox.errors import OutboxError
from outbox.models import OutboxAttachment, OutboxMessage
from outbox.sent_folder import copy, lookup
from outbox.tasks import sent_folder as sent_folder_tasks
from outbox.views.visible_rows import newest_rows

router = Router(tags=["outbox"])
DONE = {200: Answer[SendState], **FAILURES}
ASKED = {202: Answer[None], **FAILURES}
WHOLE = {200: Answer[OutboxWhole], **FAILURES}


@router.get("/outbox", response={200: Answer[Page[OutboxHead]], **FAILURES}, operation_id="list_outbox")
def list_outbox(
    request: HttpRequest, asked: Query[OutboxFilter], limit: Limit = 50, before: Number | None = None
) -> Answer[Page[OutboxHead]]:
    """Written mail, newest first, with the filters of the outbox page; `before` is the `next` of the previous page.
    With `q`, a page may have fewer rows than `limit` and still have a next page."""
    accounts = asked_accounts(request, asked.account)
    rows, goes_on_at = newest_rows(asked.filters(None), accounts, timezone.now(), before, limit + 1)
    page, last = cut(list(rows.defer("body_text", "body_html")[: limit + 1]), limit)
    following = last.pk if last else goes_on_at
    return Answer(data=Page(items=[OutboxHead.of(row) for row in page], next=str(following) if following else None))


def _seen(request: HttpRequest, pk: int) -> OutboxMessage:
    return get_object_or_404(OutboxMessage, pk=pk, account__in=seen(request))


@router.get("/outbox/{pk}", response=WHOLE, operation_id="get_outbox")
def get_outbox(request: HttpRequest, pk: Path[Number]) -> Answer[OutboxWhole]:
    """One mail with its recipients, attempts, attachments and delivery reports."""
    return Answer(data=OutboxWhole.of(_seen(request, pk)))


@router.get(
    "/outbox/{pk}/source", response=FILE, operation_id="get_outbox_source", openapi_extra=of_type("message/rfc822")
)
def outbox_source(request: HttpRequest, pk: Path[Number]) -> HttpResponseBase:
    """The frozen mail; each attempt adds its Message-ID and X-PRX-Attempt to these bytes. Supports Range."""
    digest = _seen(request, pk).mime_digest
    return as_mail(file_answer(request, raw_or_404(digest), f"outbox-{pk}.eml", "message/rfc822", digest))


@router.get(
    "/outbox/{pk}/attachments/{position}",
    response=FILE,
    operation_id="get_outbox_attachment",
    openapi_extra=of_type(*ATTACHED),
)
def outbox_attachment(request: HttpRequest, pk: Path[Number], position: Path[Position]) -> HttpResponseBase:
    """The bytes of an attachment of a written mail. Supports Range."""
    row = _seen(request, pk)
    found = get_object_or_404(OutboxAttachment, outbox=row, position=position)
    return attached_file(request, row.mime_digest, found)


@contextmanager
def _operated(request: HttpRequest, pk: int) -> Iterator[OutboxMessage]:
    """A context with the row, if the token may act on it; checks If-Match with the ETag of GET /outbox/{pk}.

    Raises Http404, Changed.
    """
    accounts = caller_of(request).accounts(Scope.OPERATE)
    row = get_object_or_404(OutboxMessage.objects.select_related("account"), pk=pk, account__in=accounts)

    def read() -> Answer[OutboxWhole]:
        return Answer(data=OutboxWhole.of(OutboxMessage.objects.get(pk=pk)))

    with unchanged(request, OutboxMessage.objects.filter(pk=pk), read):
        yield row


def _done(request: HttpRequest, pk: int, act: Callable[[], outbox_api.ApiResponse]) -> Answer[SendState]:
    with _operated(request, pk):
        return state_of(act())


@router.post("/outbox/{pk}/retry", response=DONE, operation_id="retry", openapi_extra=IF_MATCH)
def retry(request: HttpRequest, pk: Path[Number], given: Retry) -> Answer[SendState]:
    """Make a queued or failed mail due now; a worker delivers it. All actions on a mail heed If-Match."""
    user = caller_of(request).token.user
    return _done(request, pk, lambda: outbox_api.request_retry(pk, user=user, now_anyway=given.now_anyway))


@router.post("/outbox/{pk}/cancel", response=DONE, operation_id="cancel", openapi_extra=IF_MATCH)
def cancel(request: HttpRequest, pk: Path[Number]) -> Answer[SendState]:
    """Cancel a queued or failed mail, for good."""
    return _done(request, pk, lambda: outbox_api.cancel(pk, user=caller_of(request).token.user))


@router.post("/outbox/{pk}/undo", response=DONE, operation_id="undo", openapi_extra=IF_MATCH)
def undo(request: HttpRequest, pk: Path[Number]) -> Answer[SendState]:
    """Cancel a mail within its undo window, before anything is sent."""
    return _done(request, pk, lambda: outbox_api.undo(pk, user=caller_of(request).token.user))


@router.post("/outbox/{pk}/reschedule", response=DONE, operation_id="reschedule", openapi_extra=IF_MATCH)
def reschedule(request: HttpRequest, pk: Path[Number], given: Reschedule) -> Answer[SendState]:
    """Change the send time of a mail without attempts; a time in the past means now."""
    user = caller_of(request).token.user
    return _done(request, pk, lambda: outbox_api.reschedule(pk, given.send_at, user=user))


@router.post("/outbox/{pk}/mark-as-sent", response=DONE, operation_id="mark_as_sent", openapi_extra=IF_MATCH)
def mark_as_sent(request: HttpRequest, pk: Path[Number], given: Decision) -> Answer[SendState]:
    """Mark an uncertain mail as sent by this attempt, because somebody knows that it was."""
    user = caller_of(request).token.user
    return _done(request, pk, lambda: outbox_api.mark_as_sent(pk, given.attempt, user=user))


@router.post("/outbox/{pk}/correct-addresses", response=DONE, operation_id="correct_addresses", openapi_extra=IF_MATCH)
def correct_addresses(
    request: HttpRequest, pk: Path[Number], given: Corrections, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[SendState]] | HttpResponse:
    """Send a mail that was refused for good to corrected addresses, only to recipients who do not have it; the refused
    mail is cancelled. The response is about the new mail."""
    user = caller_of(request).token.user

    def correct() -> outbox_api.ApiResponse:
        return outbox_api.correct_addresses(pk, given.addresses, given.attempt, user=user)

    return once(request, idempotency_key, lambda: Status(200, _done(request, pk, correct)))


@router.post("/outbox/{pk}/send-again", response=DONE, operation_id="send_again", openapi_extra=IF_MATCH)
def send_again(request: HttpRequest, pk: Path[Number], given: Decision) -> Answer[SendState]:
    """Send an uncertain mail once more, although it may arrive twice."""
    user = caller_of(request).token.user
    return _done(request, pk, lambda: outbox_api.send_again(pk, given.attempt, user=user))


@router.post(
    "/outbox/{pk}/look-in-sent",
    response=ASKED,
    operation_id="look_in_sent",
    openapi_extra=IF_MATCH,
)
def look_in_sent(request: HttpRequest, pk: Path[Number]) -> Status[Answer[None]]:
    """Have a worker search the account's Sent folder for an uncertain mail now."""
    with _operated(request, pk):
        found = lookup.ask_now(pk, timezone.now())
        if found is None:
            raise Conflict(gettext("There is nothing to look for: whether this mail went out is known."))
        sent_folder_tasks.queue_look(found)
    return Status(202, Answer(data=None))


@router.post(
    "/outbox/{pk}/copy-again",
    response=ASKED,
    operation_id="copy_again",
    openapi_extra=IF_MATCH,
)
def copy_again(request: HttpRequest, pk: Path[Number]) -> Status[Answer[None]]:
    """Have a worker try a failed copy in Sent again."""
    with _operated(request, pk) as row:
        try:
            copy.try_again(row, user=caller_of(request).token.user, now=timezone.now())
        except OutboxError as error:
            raise Conflict(str(error)) from error
        sent_folder_tasks.queue_copies(row.account_id)
    return Status(202, Answer(data=None))


@router.post("/outbox/{pk}/acknowledge", response=WHOLE, operation_id="acknowledge", openapi_extra=IF_MATCH)
def acknowledge(request: HttpRequest, pk: Path[Number], given: SeenReports) -> Answer[OutboxWhole]:
    """Acknowledge the mail's bounces and complaints, so that they no longer need a person. Needs the scope read, too,
    as the answer is the mail."""
    _seen(request, pk)
    with _operated(request, pk) as row:
        matching.acknowledge(row, user=caller_of(request).token.user, last_shown=given.last_report)
    return Answer(data=OutboxWhole.of(row))
