"""Questions before a mail is made of a compose page: whether to make another one, and whether to send it without text.

One page makes one mail: the page's key finds the mail that was made of it before. An empty text often means that Send
was pressed too early.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext

from mailbox.permissions import Role
from mailbox.views.requests import signed_in_user
from outbox.compose.attachments import AttachmentInput
from outbox.compose.replies import is_unwritten
from outbox.compose.text_formats import as_plain
from outbox.models import OutboxMessage
from outbox.views.visible_rows import seen_by


def files_of(cleaned: dict[str, Any]) -> list[AttachmentInput]:
    """The files of the mail, kept and uploaded ones, from a form's cleaned data."""
    return [*cleaned.get("kept", []), *cleaned["attachments"]]


def key_of(cleaned: dict[str, Any]) -> str | None:
    """The idempotency key: the page's key and a digest of the form, so that the same form sent twice makes one mail."""
    if not cleaned["idempotency_key"]:
        return None
    digest = hashlib.sha256()
    for name in ("account", "to", "cc", "bcc", "subject", "body_text", "send_at"):
        digest.update(f"{cleaned[name]}\0".encode(errors="replace"))
    if cleaned["text_format"]:
        digest.update(f"{cleaned['text_format']}\0".encode())
    for attached in files_of(cleaned):
        digest.update(attached.filename.encode(errors="replace") + b"\0" + (attached.content or b"") + b"\0")
    return f"{cleaned['idempotency_key']}-{digest.hexdigest()[:32]}"


def made_before(request: HttpRequest, page_key: str) -> OutboxMessage | None:
    """The newest mail, not cancelled, that the user made from the page or draft with this key, or None."""
    try:
        key = uuid.UUID(page_key)
    except ValueError:
        return None
    made = seen_by(request, Role.OPERATOR).filter(created_by=signed_in_user(request)).exclude(status="cancelled")
    # A range that uses the index in any collation: a lower-case hexadecimal digest follows the dash.
    made = made.filter(idempotency_key__gte=f"{key}-", idempotency_key__lt=f"{key}-g")
    return made.order_by("-pk").first()


def another_is_unasked(request: HttpRequest, cleaned: dict[str, Any]) -> OutboxMessage | None:
    """The different mail that was made from this page before, unless the person confirmed that another is wanted."""
    before = made_before(request, str(cleaned["idempotency_key"] or ""))
    is_same = before is not None and before.idempotency_key == key_of(cleaned)
    return None if before is None or is_same or request.POST.get("another") == str(before.pk) else before


@dataclass(frozen=True)
class Unasked:
    """The open questions to the person. The form preserves the answer to one while the other is asked."""

    before: OutboxMessage | None = None
    is_unwritten: bool = False

    @classmethod
    def of(cls, request: HttpRequest, cleaned: dict[str, Any]) -> Unasked:
        """The questions that this submission of a valid form has not answered yet."""
        is_asked = "unwritten" in request.POST
        text = as_plain(cleaned["text_format"], cleaned["body_text"])
        unwritten = not is_asked and is_unwritten(text, cleaned["account"].signature)
        return cls(another_is_unasked(request, cleaned), unwritten)

    @property
    def questions(self) -> list[str]:
        """The open questions as sentences; empty if the mail can be made."""
        before = [gettext("A mail was already made from this page.")] if self.before else []
        return before + ([gettext("The text is empty. Send it all the same?")] if self.is_unwritten else [])


NOTHING = Unasked()
