"""The print view of a message: header lines and body, without this site's frame."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from mailbox.html import sanitizer
from mailbox.models import Attachment, Message
from mailbox.views.pagination import FirstRows
from mailbox.views.reading.message import TEXT_SHOWN_CHARACTERS
from mailbox.views.reading.message_lookup import find_message
from mailbox.views.reading.message_parts import frame, shown_html

FILES_PRINTED = 100


@require_safe
def message_print(request: HttpRequest, pk: int) -> HttpResponse:
    """The print view. It has the CSP of the frame, since it contains the mail's own HTML."""
    row = find_message(request, pk)
    if row.body_html and request.GET.get("view") != "text":
        document = shown_html(request, row).html
    else:
        document = sanitizer.text_to_html(row.body_text[:TEXT_SHOWN_CHARACTERS])
    return frame(_headed(document, row))


def _headed(document: str, row: Message) -> str:
    """The sanitised document with the header lines at the top of its body."""
    before, tag, after = document.partition("<body")
    attributes, close, body = after.partition(">")
    files = FirstRows[Attachment](row.attachment_rows.filter(removed_at=None).order_by("position"), FILES_PRINTED)
    head = render_to_string("mailbox/messages/_print_head.html", {"message": row, "attachments": files})
    return f"{before}{tag}{attributes}{close}{head}{body}"
