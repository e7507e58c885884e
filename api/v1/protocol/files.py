"""File downloads with range requests (RFC 9110 14), by which a client can resume or divide a download."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext

from api.v1.protocol.access import FAILURES
from api.v1.protocol.answers import Problem
from api.v1.protocol.problems import problem
from mailbox.mime.message import AttachmentBytes, attachment_content
from mailbox.models import Attachment
from mailbox.views.reading.message_parts import HARMLESS_TYPES, download, in_pieces, raw_or_404
from outbox.models import OutboxAttachment

# One range. Several ranges, other units and malformed headers are ignored, as RFC 9110 allows: the whole file is sent.
_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?", re.ASCII)
FILE: dict[Any, Any] = {200: None, 206: None, 416: Problem, **FAILURES}
RANGE_HEADERS = [
    {"name": "Range", "in": "header", "required": False, "schema": {"type": "string", "examples": ["bytes=0-1023"]}},
    {"name": "If-Range", "in": "header", "required": False, "schema": {"type": "string"}},
]


# The content types with which download() sends attachments.
ATTACHED = sorted({"application/octet-stream", *HARMLESS_TYPES})


def of_type(*content_types: str) -> dict[str, Any]:
    """For the schema: a response with bytes of one of these types, whole or in part."""
    content = {each: {"schema": {"type": "string", "format": "binary"}} for each in content_types}
    return {"responses": {200: {"content": content}, 206: {"content": content}}, "parameters": RANGE_HEADERS}


class NoSuchRange(Exception):
    """The file has no byte of the requested range: status 416."""


def file_answer(
    request: HttpRequest, content: bytes | AttachmentBytes, filename: str, content_type: str, digest: str
) -> HttpResponseBase:
    """The response with the file or the requested range. digest: of the file's bytes; it becomes the ETag."""
    etag, whole = f'"{digest[:64]}"', in_pieces(content)
    response: HttpResponseBase | None = get_conditional_response(request, etag=etag)
    if response is None:
        try:
            asked = _asked(request, etag, whole.size)
        except NoSuchRange:
            refused = problem(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, gettext("The file has no such range."))
            refused.headers["Content-Range"] = f"bytes */{whole.size}"
            return refused
        response = _part(whole, asked, filename, content_type)
    response.headers["ETag"] = etag
    response.headers["Accept-Ranges"] = "bytes"
    return response


def _part(whole: AttachmentBytes, asked: range | None, filename: str, content_type: str) -> HttpResponseBase:
    if asked is None:
        return download(whole, filename, content_type)
    response = download(AttachmentBytes(len(asked), _cut(whole, asked)), filename, content_type)
    response.status_code = HTTPStatus.PARTIAL_CONTENT
    response.headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{whole.size}"
    return response


def _asked(request: HttpRequest, etag: str, size: int) -> range | None:
    """The requested range, None for the whole file. Raises NoSuchRange."""
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    first, last = found.groups() if found else (None, None)
    if (first is None and last is None) or request.headers.get("If-Range", etag).strip() != etag:
        return None
    if first is None:
        return _within(max(size - int(last or 0), 0), size, size)
    if last is not None and int(last) < int(first):
        return None
    return _within(int(first), size if last is None else min(int(last) + 1, size), size)


def _within(start: int, stop: int, size: int) -> range:
    if start >= size:
        raise NoSuchRange
    return range(start, stop)


def _cut(whole: AttachmentBytes, asked: range) -> Iterator[bytes | memoryview]:
    at = 0
    for piece in whole.pieces:
        begin, end = max(asked.start - at, 0), asked.stop - at
        at += len(piece)
        if begin < len(piece):
            yield piece[begin:end]
        if at >= asked.stop:
            return


def as_mail(response: HttpResponseBase) -> HttpResponseBase:
    """Set the content type of a download to message/rfc822."""
    if response.status_code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        response.headers["Content-Type"] = "message/rfc822"
    return response


def attached_file(request: HttpRequest, raw_digest: str, row: Attachment | OutboxAttachment) -> HttpResponseBase:
    """The response with an attachment of the stored mail `raw_digest`. Raises Http404 if the mail lacks it."""
    try:
        content = attachment_content(raw_or_404(raw_digest), row.position, row.digest)
    except IndexError as error:
        raise Http404 from error
    return file_answer(request, content, row.filename, row.content_type, row.digest)
