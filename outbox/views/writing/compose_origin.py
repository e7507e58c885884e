"""What the compose page starts from (a received message, a written mail or a draft), and its form's initial values."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailbox.mime import readable_text as mime_body
from mailbox.mime.normal_form import without_stacks
from mailbox.models import Account, Message
from mailbox.permissions import Role
from mailbox.views.reading.message_lookup import find_message
from mailbox.views.requests import number_of
from outbox.compose import drafts, replies, senders
from outbox.compose.carried_attachments import CarriedAttachment, of_draft, of_received, of_written
from outbox.compose.text_formats import HTML, format_of
from outbox.models import AttachmentPolicy, Draft, OutboxMessage
from outbox.views.visible_rows import find_row
from outbox.views.writing.drafts import find_draft

TITLES = {"reply_to": _("Reply"), "reply_all": _("Reply to all"), "forward": _("Forward"), "again": _("Write a mail")}


@dataclass(frozen=True)
class ComposeOrigin:
    """What the page starts from: nothing, a received message and the way it is used, a written mail, or a draft."""

    way: str = ""  # a key of TITLES
    message: Message | None = None
    written: OutboxMessage | None = None
    draft: Draft | None = None

    @classmethod
    def read(cls, request: HttpRequest) -> ComposeOrigin:
        """The origin that the URL or the form names. Raises Http404 if the user may not see it, PermissionDenied if
        they may not send from its account."""
        draft = find_draft(request)
        if "draft" in request.GET:  # if the draft was deleted meanwhile, the form has its `start`
            return cls.of_start(request, draft.start if draft else request.POST.get("start", ""), draft)
        return replace(cls._of_address(request), draft=draft)

    @classmethod
    def of_start(cls, request: HttpRequest, start: str, draft: Draft | None) -> ComposeOrigin:
        """The origin of a draft by its `start`; without the message or mail if it is gone or not permitted."""
        way, _, pk = start.partition("=")
        with contextlib.suppress(Http404, PermissionDenied, ValueError):
            if way == "again":
                return cls(way, written=find_row(request, int(pk), Role.OPERATOR), draft=draft)
            if way in TITLES:
                return cls(way, message=find_message(request, int(pk), Role.OPERATOR), draft=draft)
        return cls(draft=draft)

    @classmethod
    def _of_address(cls, request: HttpRequest) -> ComposeOrigin:
        for way in TITLES:
            if pk := number_of(request, way):
                if way == "again":
                    return cls(way, written=find_row(request, pk, Role.OPERATOR))
                return cls(way, message=find_message(request, pk, Role.OPERATOR))
        return cls()

    @property
    def parent(self) -> Message | None:
        """The message that the mail replies to, or None; a forwarded message is no parent (RFC 5322 3.6.4)."""
        if self.written:  # a reply that is written again is still a reply
            return self.written.parent
        return self.message if self.way in ("reply_to", "reply_all") else None

    @property
    def read_message(self) -> int | None:
        """The pk of the message that the user came from, to continue from it in its list; or None."""
        return self.message.pk if self.message else self.written.parent_id if self.written else None

    def carried(self, current: AttachmentPolicy) -> list[CarriedAttachment]:
        """The files that the new mail takes over: of a written mail, of the message that is forwarded, of the draft."""
        own = of_draft(self.draft, current) if self.draft else []
        if self.written:
            return [*of_written(self.written), *own]
        return [*(of_received(self.message, current) if self.message and self.way == "forward" else []), *own]

    @property
    def name(self) -> str:
        """The origin as a draft stores it in `start`, as in "reply_to=7"; "" for none."""
        source = self.message or self.written
        return f"{self.way}={source.pk}" if source else ""


def initial_of(request: HttpRequest, start: ComposeOrigin, accounts: QuerySet[Account]) -> dict[str, Any]:
    """The form's first values: a draft as it was left, a mail as written, a reply, a forwarded mail, or a new one."""
    if start.draft and "draft" in request.GET:
        return as_left(start.draft)
    if start.written:
        return _again(start.written)
    if start.message is None:
        return {} if request.method == "POST" else _new(number_of(request, "account"), accounts)
    message, letter = start.message, _letter(start.message)
    account = next((each for each in accounts if each.pk == message.account_id), message.account)
    # The sender is the account's address that the mail was sent to; for a mail of our own, the one it was sent from.
    sender = senders.sender_named(account, message.recipients, message.cc, message.sender)
    own, signed = [str(each) for each in senders.senders_of([account])], partial(replies.signed, sender.signature)
    if start.way == "forward":
        shown = {"subject": replies.forward_subject(message.subject), "body_text": signed(replies.forwarded(letter))}
        return shown | {"account": sender.form_value}
    answer: dict[str, Any] = {
        "account": sender.form_value,
        "to": replies.answer_to(letter, own) or message.reply_to or message.sender,
        "subject": replies.reply_subject(message.subject),
        "body_text": signed(replies.quoted(letter)),
    }
    if start.way == "reply_all":
        everyone = replies.reply_to_all(letter, own)
        answer |= {"to": everyone.to, "cc": everyone.cc, "left_out": everyone.left_out}
    return answer


def _new(given: int | None, accounts: QuerySet[Account]) -> dict[str, Any]:
    """Initial values of a new mail: the given account, and the signature of that or of the user's only account."""
    pks = list(accounts.values_list("pk", "signature")[:2]) if given is None else []
    chosen = accounts.filter(pk=given).values_list("pk", "signature").first() if given else None
    of_one = chosen or (pks[0] if len(pks) == 1 else None)
    shown: dict[str, Any] = {"account": chosen[0] if chosen else None}
    return shown | ({"body_text": replies.signed(of_one[1])} if of_one and of_one[1] else {})


def _again(source: OutboxMessage) -> dict[str, Any]:
    """Initial values for writing a mail again: its values as they were typed."""
    shown: dict[str, Any] = {
        name: getattr(source, name) for name in ("to", "cc", "bcc", "subject", "body_text", "send_at")
    }
    files = list(source.attachment_rows.values_list("filename", "digest"))
    shown["text_format"] = format_of(source.body_html, source.body_text, files)
    if shown["text_format"] == HTML:
        shown["body_text"] = source.body_html
    return shown | {"account": senders.sender_named(source.account, source.header_from).form_value}


def as_left(draft: Draft) -> dict[str, Any]:
    """The form's values as the draft has them."""
    shown: dict[str, Any] = {
        name: getattr(draft, name) for name in (*drafts.FIELDS, "text_format", "send_at", "refused")
    }
    shown |= {} if draft.kept is None else {"kept": draft.kept}
    sender = senders.SenderIdentity(draft.account, draft.alias).form_value if draft.account else None
    return shown | {"account": sender, "idempotency_key": draft.key}


def _letter(message: Message) -> replies.OriginalMessage:
    return replies.OriginalMessage(
        subject=message.subject,
        sender=message.sender,
        reply_to=message.reply_to,
        recipients=message.recipients,
        cc=message.cc,
        text=without_stacks(mime_body.readable(message)),
        at=timezone.localtime(message.date or message.received_at),
    )
