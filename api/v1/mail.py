"""Received messages: listed, searched, read."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from ninja import Path, Router

from api.models import Scope
from api.v1.answers import Answer, Limit, MessageHead, MessageWhole, Number, Page
from api.v1.common import FAILURES, caller_of, seen
from mailbox.mime import message as mime_message
from mailbox.models import Attachment, Message
from mailbox.search import results
from mailbox.views.pagination import Cursor, cut
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.reading.message_parts import download, raw_or_404
from mailbox.views.requests import Refused

router = Router(tags=["mail"])


@router.get("/messages", response={200: Answer[Page[MessageHead]], **FAILURES}, operation_id="list_messages")
def list_messages(
    request: HttpRequest, account: Number | None = None, limit: Limit = 50, before: str = ""
) -> Answer[Page[MessageHead]]:
    """Newest first; `before` is the `next` of the page before."""
    cursor, accounts = Cursor.read(before), _asked(request, account)
    rows = Message.objects.visible().listed().order_by("-received_at", "-pk")
    rows = rows.filter(cursor.older("received_at")) if cursor else rows
    page, last = cut(list(newest_of_accounts(rows, accounts, limit + 1)[: limit + 1]), limit)
    items = [MessageHead.of(row) for row in page]
    return Answer(data=Page(items=items, next=str(Cursor(last.received_at, last.pk)) if last else None))


def _asked(request: HttpRequest, account: int | None) -> set[int]:
    accounts = seen(request)
    if account is not None and account not in accounts:
        raise Http404
    return {account} if account is not None else accounts


@router.get("/messages/search", response={200: Answer[Page[MessageHead]], **FAILURES}, operation_id="search_messages")
def search(request: HttpRequest, q: str, limit: Limit = 50, before: str = "") -> Answer[Page[MessageHead]]:
    """With the operators of the search page: `from:ann has:attachment invoice`."""
    cursor, caller = Cursor.read(before), caller_of(request)
    place = (cursor.at, cursor.pk) if cursor else None
    accounts = caller.accounts(Scope.READ)
    among = None if caller.token.all_accounts else accounts
    found = results.search(caller.token.user, q.replace("\0", " "), limit=limit, before=place, among=among)
    if found.problems:
        raise Refused(" ".join(found.problems))
    items = [MessageHead.of(row) for row in found.rows]
    return Answer(data=Page(items=items, next=str(Cursor(*found.next)) if found.next else None))


def _message(request: HttpRequest, pk: int) -> Message:
    return get_object_or_404(Message.objects.defer("attached_text"), pk=pk, account__in=seen(request))


@router.get("/messages/{pk}", response={200: Answer[MessageWhole], **FAILURES}, operation_id="get_message")
def get_message(request: HttpRequest, pk: Path[Number]) -> Answer[MessageWhole]:
    return Answer(data=MessageWhole.of(_message(request, pk)))


@router.get("/messages/{pk}/source", response={200: None, **FAILURES}, operation_id="get_source")
def source(request: HttpRequest, pk: Path[Number]) -> HttpResponseBase:
    """The mail's bytes as they came (message/rfc822)."""
    response = download(raw_or_404(_message(request, pk).raw_digest), f"message-{pk}.eml", "message/rfc822")
    response["Content-Type"] = "message/rfc822"
    return response


@router.get("/messages/{pk}/attachments/{position}", response={200: None, **FAILURES}, operation_id="get_attachment")
def attachment(request: HttpRequest, pk: Path[Number], position: Path[int]) -> HttpResponseBase:
    """The decoded bytes of an attachment. Types that a browser would run are answered as application/octet-stream."""
    row = _message(request, pk)
    if not 0 <= position < 2**31:
        raise Http404
    found = get_object_or_404(Attachment, message=row, position=position, removed_at=None)
    try:
        content = mime_message.attachment_content(raw_or_404(row.raw_digest), found.position, found.digest)
    except IndexError as error:
        raise Http404 from error
    return download(content, found.filename, found.content_type)
