"""The parts of a message at URLs of their own: its HTML for the frame, its source, its attachments.

Content of mail is never rendered in this site's origin: HTML is served with a CSP sandbox, which gives it an opaque
origin, and everything else is a download.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.contrib import messages as notices
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_http_methods, require_safe

from mailbox.html import images, sanitizer
from mailbox.mime import message as mime_message
from mailbox.models import Attachment, Message
from mailbox.permissions import Role
from mailbox.pictures import remote_images
from mailbox.storage import out_of_reach, raw_store
from mailbox.views.activity.audit import record
from mailbox.views.reading.message_lookup import find_message

# HTML with images, some of which may be parts of the mail.
_NAMES_OWN_IMAGE = re.compile(r"<img\b", re.I)
_IMAGES = ("image/png", "image/jpeg", "image/jpg", "image/pjpeg", "image/gif", "image/webp", "application/octet-stream")
MEASURED_UP_TO = 1_000_000  # bytes of the whole mail
STREAMED_FROM = 4 * 1024 * 1024  # bytes
_PIECE = 256 * 1024
# Content types that a download keeps, since browsers run no code in them. All others become application/octet-stream.
HARMLESS_TYPES = frozenset(
    {"application/pdf", "application/zip", "image/gif", "image/jpeg", "image/png", "image/webp", "text/plain"}
)


def frame(html: str) -> HttpResponse:
    """The response with a mail's sanitised HTML for the sandboxed frame."""
    response = HttpResponse(html, content_type="text/html; charset=utf-8")
    response["Content-Security-Policy"] = sanitizer.FRAME_CSP
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "private, no-store"
    return response


def download(content: bytes | mime_message.AttachmentBytes, filename: str, content_type: str) -> HttpResponseBase:
    """The bytes as a download, never displayed (Content-Disposition: attachment, RFC 6266); large ones as a stream."""
    bare = content_type.partition(";")[0].strip().lower()
    kind = bare if bare in HARMLESS_TYPES else "application/octet-stream"
    whole = in_pieces(content)
    response: HttpResponseBase
    if whole.size <= STREAMED_FROM:
        response = HttpResponse(b"".join(whole.pieces), content_type=kind)
    else:
        response = StreamingHttpResponse(whole.pieces, content_type=kind)
    response["Content-Length"] = str(whole.size)
    response["Content-Disposition"] = content_disposition_header(True, filename) or "attachment"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def in_pieces(content: bytes | mime_message.AttachmentBytes) -> mime_message.AttachmentBytes:
    """The content with its size in bytes, in pieces that are made as they are sent."""
    if isinstance(content, mime_message.AttachmentBytes):
        return content
    return mime_message.AttachmentBytes(len(content), _sliced(content))


def _sliced(content: bytes) -> Iterator[bytes]:
    return (content[start : start + _PIECE] for start in range(0, len(content), _PIECE))


def raw_or_404(digest: str) -> bytes:
    """The raw message; a large one as a memory-mapped file. Raises Http404 when the store does not have it.

    Raises RawOutOfReach, which BusyMiddleware answers with 503.
    """
    try:
        return raw_store.map_raw(digest)[0]
    except raw_store.RawOutOfReach:
        raise
    except raw_store.RawMissing as missing:
        raise Http404(str(missing)) from missing


def shown_html(request: HttpRequest, row: Message) -> sanitizer.SafeHtml:
    """The sanitised HTML with the mail's own images, and with remote images that the user asked for."""
    inline: dict[str, tuple[str, bytes]] = {}
    if _NAMES_OWN_IMAGE.search(row.body_html) and any(each["content_type"] in _IMAGES for each in row.attachments):
        try:
            inline = mime_message.shown_images(raw_store.map_raw(row.raw_digest)[0], largest=images.MAX_IMAGE_BYTES)
        except raw_store.RawMissing as missing:
            if isinstance(missing, raw_store.RawOutOfReach):
                out_of_reach.note(missing.segment)
            inline = {}  # show the text without images; other tabs say what is missing
    wanted = request.GET.get("images") == "1" or remote_images.is_trusted(request.user, row)
    return sanitizer.safe_html(row.body_html, inline, remote_images.fetched(row) if wanted else {})


@require_safe
@xframe_options_sameorigin
def html(request: HttpRequest, pk: int) -> HttpResponse:
    """The sanitised HTML for the frame of the message's page."""
    return frame(shown_html(request, find_message(request, pk)).html)


@require_safe
@xframe_options_sameorigin
def measured_html(request: HttpRequest, pk: int) -> HttpResponse:
    """The same HTML for a hidden frame, whose height static/js/frame.js gives to the visible one.

    The visible frame has an opaque origin, so that our script cannot read its height. The hidden one has our origin;
    its sandbox runs no scripts and follows no links. It is refused as a page of its own, which could be taken for ours.
    """
    row = find_message(request, pk)
    if request.headers.get("Sec-Fetch-Dest", "iframe") != "iframe" or not is_measured(row):
        raise Http404("Only for the frame that is measured.")
    response = frame(shown_html(request, row).html)
    response["Content-Security-Policy"] = sanitizer.MEASURED_CSP
    return response


def is_measured(row: Message) -> bool:
    """Whether the height is measured: not for large mails, which would be sent twice."""
    return row.size <= MEASURED_UP_TO


@require_safe
def eml(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The stored message, byte for byte, as a download; 404 when the raw store has lost it."""
    row = find_message(request, pk)
    response = download(raw_or_404(row.raw_digest), _eml_name(row), "message/rfc822")
    response["Content-Type"] = "message/rfc822"
    return response


def _eml_name(row: Message) -> str:
    kept = "".join(char for char in row.subject if char.isalnum() or char in " -_").strip()[:80]
    return f"{kept or f'message {row.pk}'}.eml"


def find_attachment(request: HttpRequest, pk: int, position: int, role: str = Role.VIEWER) -> Attachment:
    """The attachment at this position. Raises Http404 if it was removed, or the user may not see the message."""
    row = find_message(request, pk, role)
    found = Attachment.objects.filter(message=row, position=position, removed_at=None).first()
    if found is None:
        raise Http404("No such attachment, or it was removed.")
    found.message = row
    return found


@require_safe
def attachment(request: HttpRequest, pk: int, position: int) -> HttpResponseBase:
    """The decoded attachment as a download. 404 when the raw store has lost the message."""
    found = find_attachment(request, pk, position)
    try:
        content = mime_message.attachment_content(raw_or_404(found.message.raw_digest), found.position, found.digest)
    except IndexError as error:
        raise Http404("The stored message does not hold this attachment.") from error
    return download(content, found.filename, found.content_type)


@require_http_methods(["GET", "HEAD", "POST"])
def remove_attachment(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    """Ask for confirmation, then remove the attachment: it is hidden, and its download refused."""
    found = find_attachment(request, pk, position, Role.OPERATOR)
    if request.method != "POST":
        return render(request, "mailbox/messages/remove_attachment.html", {"attachment": found})
    if request.POST.get("digest") != found.digest:
        words = gettext("The mail was read again since you were asked, and another file stands there now: look again.")
        notices.warning(request, words)
        return redirect("mailbox:message_attachment_remove", pk, position)
    if remove(request, found):
        notices.success(
            request,
            gettext("%(filename)s is removed: it is listed nowhere and can no longer be downloaded.")
            % {"filename": found.filename},
        )
    return redirect("mailbox:message", pk)


@transaction.atomic
def remove(request: HttpRequest, found: Attachment) -> bool:
    """Remove it and record that; False when it was removed already, or another file has its position now."""
    still = Attachment.objects.filter(pk=found.pk, digest=found.digest, removed_at=None)
    if not still.update(removed_at=timezone.now()):
        return False
    detail = f"{found.filename}, {found.size} bytes"
    record(request, "remove_attachment", f"message:{found.message_id}", found.message.account, detail)
    return True
