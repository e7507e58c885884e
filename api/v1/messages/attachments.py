"""The list of received and written attachments, with the filters of its page."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from api.v1.protocol.access import FAILURES, asked_accounts, seen, users_time
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text
from mailbox import features
from mailbox.models import Feature
from outbox.views.attachments.attachment_selection import AttachmentCursor, AttachmentFilters, find

router = Router(tags=["mail"])


class AttachmentQuery(Asked):
    """The filters of the page; absent ones match everything."""

    direction: Literal["", "received", "sent"] = ""
    type: Literal["", "image", "pdf", "text", "archive", "office", "message", "media"] = ""
    size: Literal["", "100k", "1m", "10m", "25m"] = Field("", description="The smallest size, of powers of ten.")
    account: Number | None = None
    since: date | None = Field(None, description="In the time zone of the token's user.")
    until: date | None = Field(None, description="This day is included.")
    q: Text = Field("", description="A part of the file name.")


class ListedAttachment(Schema):
    """An attachment of a received message (`message_id`) or of a written mail (`outbox_id`), with the id of that."""

    message_id: int | None
    outbox_id: int | None
    account_id: int
    position: int
    filename: str
    content_type: str
    size: int
    digest: str = Field(description="SHA-256 of its bytes.")
    at: datetime
    subject: str = Field(description="Of its mail.")

    @classmethod
    def of(cls, row: Any) -> ListedAttachment:
        """From a row of find()."""
        own = {name: getattr(row, name) for name in ("account_id", "position", "filename", "content_type", "size")}
        mail = row.message if row.is_received else row.outbox
        keys: dict[str, Any] = {
            "message_id": mail.pk if row.is_received else None,
            "outbox_id": None if row.is_received else mail.pk,
        }
        return cls(**own, **keys, digest=row.digest, at=row.at, subject=mail.subject)


@router.get("/attachments", response={200: Answer[Page[ListedAttachment]], **FAILURES}, operation_id="list_attachments")
def list_attachments(
    request: HttpRequest, asked: Query[AttachmentQuery], limit: Limit = 50, before: str = ""
) -> Answer[Page[ListedAttachment]]:
    """Attachments of received and written mail, newest first; `before` is the `next` of the previous page. With `q`, a
    page may have fewer rows than `limit` and still have a next page. Received ones of accounts that may not be read are
    left out."""
    filters, cursor = AttachmentFilters.read(request), AttachmentCursor.read(before)
    accounts = asked_accounts(request, asked.account)
    off = features.those_off(Feature.INBOX_READ, among=accounts)
    read = (seen(request) if accounts is None else accounts) - off if off else accounts
    with users_time(request):
        rows, last = find(filters, {"sent": accounts, "received": read}, cursor, limit)
    return Answer(data=Page(items=[ListedAttachment.of(row) for row in rows], next=str(last) if last else None))
