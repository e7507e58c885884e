"""Received messages: search, read, and remove attachments."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.http import parse_etags
from ninja import Path, Router

from api.models import Scope
from api.v1.messages.message_lists import heads_of
from api.v1.protocol.access import FAILURES, caller_of, seen
from api.v1.protocol.answers import Answer, Limit, MessageHead, MessageWhole, Number, Page, Position
from api.v1.protocol.conditional import IF_MATCH
from api.v1.protocol.errors import Changed
from api.v1.protocol.files import ATTACHED, FILE, as_mail, attached_file, file_answer, of_type
from mailbox import features
from mailbox.models import Attachment, Feature, Message
from mailbox.search import results
from mailbox.views.pagination import Cursor
from mailbox.views.reading.message_parts import raw_or_404, remove
from mailbox.views.requests import Refused

router = Router(tags=["mail"])


@router.get("/messages/search", response={200: Answer[Page[MessageHead]], **FAILURES}, operation_id="search_messages")
def search(request: HttpRequest, q: str, limit: Limit = 50, before: str = "") -> Answer[Page[MessageHead]]:
    """Search with the operators of the search page, as in `from:ann has:attachment invoice`."""
    cursor, caller = Cursor.read(before), caller_of(request)
    place = (cursor.at, cursor.pk) if cursor else None
    accounts = caller.accounts(Scope.READ)
    among = None if caller.token.all_accounts else accounts
    found = results.search(caller.token.user, q.replace("\0", " "), limit=limit, before=place, among=among)
    if found.problems:
        raise Refused(" ".join(found.problems))
    items = heads_of(found.rows)
    return Answer(data=Page(items=items, next=str(Cursor(*found.next)) if found.next else None))


def _message(request: HttpRequest, pk: int) -> Message:
    rows = Message.objects.select_related("account").defer("attached_text", "attachments")
    return readable(get_object_or_404(rows, pk=pk, account__in=seen(request)))


def readable(message: Message) -> Message:
    """The message. Raises FeatureOff if its account's received mail may not be read."""
    features.demand(Feature.INBOX_READ, message.account)
    return message


@router.get("/messages/{pk}", response={200: Answer[MessageWhole], **FAILURES}, operation_id="get_message")
def get_message(request: HttpRequest, pk: Path[Number]) -> Answer[MessageWhole]:
    """A received message with its texts and the list of its attachments."""
    return Answer(data=MessageWhole.of(_message(request, pk)))


@router.get("/messages/{pk}/source", response=FILE, operation_id="get_source", openapi_extra=of_type("message/rfc822"))
def source(request: HttpRequest, pk: Path[Number]) -> HttpResponseBase:
    """The raw bytes of the message (message/rfc822). Supports Range."""
    digest = _message(request, pk).raw_digest
    response = file_answer(request, raw_or_404(digest), f"message-{pk}.eml", "message/rfc822", digest)
    return as_mail(response)


@router.get(
    "/messages/{pk}/attachments/{position}",
    response=FILE,
    operation_id="get_attachment",
    openapi_extra=of_type(*ATTACHED),
)
def attachment(request: HttpRequest, pk: Path[Number], position: Path[Position]) -> HttpResponseBase:
    """The decoded bytes of an attachment. Supports Range. Types that a browser would run are sent as
    application/octet-stream."""
    row = _message(request, pk)
    found = get_object_or_404(Attachment, message=row, position=position, removed_at=None)
    return attached_file(request, row.raw_digest, found)


def operated_message(request: HttpRequest, pk: int) -> Message:
    """The message, without large columns. Raises Http404 unless the token may operate its account, FeatureOff if
    unreadable."""
    operated = caller_of(request).accounts(Scope.OPERATE)
    rows = Message.objects.select_related("account").defer("attachments", "attached_text")
    return readable(get_object_or_404(rows, pk=pk, account__in=operated))


@router.delete(
    "/messages/{pk}/attachments/{position}",
    response={200: Answer[None], **FAILURES},
    operation_id="remove_attachment",
    openapi_extra=IF_MATCH,
)
def remove_attachment(request: HttpRequest, pk: Path[Number], position: Path[Position]) -> Answer[None]:
    """Remove an attachment: it is no longer listed and cannot be downloaded. Heeds If-Match, with the file's ETag."""
    message = operated_message(request, pk)
    found = get_object_or_404(Attachment, message=message, position=position, removed_at=None)
    wanted = parse_etags(request.headers.get("If-Match", "*"))
    if wanted != ["*"] and f'"{found.digest}"' not in wanted:
        raise Changed
    found.message = message
    remove(request, found)
    return Answer(data=None)
