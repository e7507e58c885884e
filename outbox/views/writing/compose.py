"""Write a mail or answer one. It is queued at once; the page of the send shows how it goes."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from mailbox.mime import body as mime_body
from mailbox.models import Account, Message
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from mailbox.views.audit import record
from mailbox.views.reading.message_lookup import find_message
from mailbox.views.requests import number_of, signed_in_user
from outbox import api
from outbox.compose import drafts, replies
from outbox.compose.carried_attachments import CarriedAttachment, of_draft, of_received, of_written
from outbox.errors import OutboxError
from outbox.forms import ComposeForm
from outbox.models import AttachmentPolicy, Draft, OutboxMessage, SendingSwitch
from outbox.views.visible_rows import find_row
from outbox.views.writing.drafts import address_of, drafts_of, find_draft, forget_sent, save_typed
from outbox.views.writing.one_mail import another_is_unasked, files_of, key_of, made_before
from outbox.views.writing.unsent import keeps_what_was_typed

TITLES = {"reply_to": _("Reply"), "reply_all": _("Reply to all"), "forward": _("Forward"), "again": _("Write a mail")}


@dataclass(frozen=True)
class ComposeOrigin:
    """What the page begins from: nothing, a received message and what is done with it, or a written mail."""

    way: str = ""  # a key of TITLES
    message: Message | None = None
    written: OutboxMessage | None = None
    draft: Draft | None = None

    @classmethod
    def read(cls, request: HttpRequest) -> ComposeOrigin:
        """Http404 for what the user may not see, PermissionDenied where they may not send."""
        draft = find_draft(request)
        if draft and "draft" in request.GET:
            return cls.of_draft(request, draft)
        return replace(cls._of_address(request), draft=draft)

    @classmethod
    def of_draft(cls, request: HttpRequest, draft: Draft) -> ComposeOrigin:
        """What it answers, as far as that is there still and the user may."""
        way, _, pk = draft.start.partition("=")
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
        """The message that is answered; one that is passed on is no parent (RFC 5322, 3.6.4)."""
        if self.written:  # an answer that is written again is an answer still
            return self.written.parent
        return self.message if self.way in ("reply_to", "reply_all") else None

    def carried(self, current: AttachmentPolicy) -> list[CarriedAttachment]:
        own = of_draft(self.draft, current) if self.draft else []
        if self.written:
            return [*of_written(self.written), *own]
        return [*(of_received(self.message, current) if self.message and self.way == "forward" else []), *own]

    @property
    def name(self) -> str:
        """As a draft keeps it."""
        source = self.message or self.written
        return f"{self.way}={source.pk}" if source else ""


@keeps_what_was_typed
@require_http_methods(["GET", "HEAD", "POST"])
def compose(request: HttpRequest) -> HttpResponse:
    if request.method != "POST" and (mail := _sent_meanwhile(request)):
        return redirect("outbox:detail", mail.pk)
    start = ComposeOrigin.read(request)
    accounts, current = _senders(request, start.parent), AttachmentPolicy.current()

    def form_of(data: QueryDict | None, files: MultiValueDict[str, UploadedFile[bytes]] | None) -> ComposeForm:
        return ComposeForm(
            data,
            files,
            accounts=accounts,
            is_staff=signed_in_user(request).is_staff,
            policy=current,
            carried=start.carried(current),
            initial=_initial(request, start, accounts),
        )

    form = form_of(request.POST or None, request.FILES or None)
    if start.way in ("reply_to", "reply_all"):  # who it goes to and what about are there already
        form.fields["body_text"].widget.attrs["autofocus"] = True
    if request.method == "POST" and request.POST.get("do") == "draft":
        return _kept_as_draft(request, form, start)
    before = another_is_unasked(request, form.cleaned_data) if request.method == "POST" and form.is_valid() else None
    if before:
        form.add_error(None, gettext("A mail was already made from this page."))
    elif request.method == "POST" and form.is_valid():
        response = _queue(request, form, start.parent)
        if response.ok and response.data:
            if start.way == "forward" and start.message:
                target = f"message:{start.message.pk}"
                record(request, "forward", target, start.message.account, f"outbox:{response.data.outbox_id}")
            forget_sent(request)
            return redirect("outbox:detail", response.data.outbox_id)
        form.add_error(None, response.error.message if response.error else gettext("The mail was not accepted."))
    if request.FILES and not form.is_valid() and (draft := _with_uploads_kept(request, form, start)):
        start, said = replace(start, draft=draft), form.non_field_errors()
        form = form_of(_as_kept(request, draft), None)
        for words in said:
            form.add_error(None, words)
    return _page(request, form, start, before=before)


def _sent_meanwhile(request: HttpRequest) -> OutboxMessage | None:
    """Back to a draft that became a mail: the mail. The address of a draft carries its key for this."""
    if not request.GET.get("key") or drafts_of(request).exists():
        return None
    return made_before(request, request.GET["key"])


def _with_uploads_kept(request: HttpRequest, form: ComposeForm, start: ComposeOrigin) -> Draft | None:
    """A browser does not choose files again by itself: what was uploaded with a form that is refused becomes a
    draft's, or the next press of Send would send the mail without it. None when that cannot be: the page says so."""
    try:
        return save_typed(request, start.name)
    except (drafts.DraftConflict, OutboxError) as error:
        form.add_error(None, str(error))
        return None


def _as_kept(request: HttpRequest, draft: Draft) -> QueryDict:
    """The form's data when its uploads have become the draft's."""
    data = request.POST.copy()
    data["draft"], data["version"] = str(draft.pk), str(draft.version)
    data.setlist("kept", draft.kept or [])
    data.setlist("refused", draft.refused)
    return data


def _page(
    request: HttpRequest,
    form: ComposeForm,
    start: ComposeOrigin,
    *,
    conflict: str = "",
    before: OutboxMessage | None = None,
) -> HttpResponse:
    # Where another tab was first, this page goes on as a draft of its own.
    draft = None if conflict else start.draft
    version = form.data.get("version") if form.is_bound else None
    context = {
        "form": form,
        "title": gettext("Draft") if draft and not start.way else TITLES.get(start.way, gettext("Write a mail")),
        "parent": start.message,
        "is_forward": start.way == "forward",
        "left_out": form.initial.get("left_out", 0),
        "can_send": bool(form.fields["account"].choices),  # type: ignore[attr-defined]
        "files_lost": bool(form.files),
        "undo_seconds": settings.OUTBOX_UNDO_SECONDS,
        "paused": SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).exists(),
        "draft": draft,
        "version": (version or draft.version) if draft else 1,
        "start": start.name,
        "conflict": conflict,
        "before": before,
        "may_administer": has_role_everywhere(request.user, Role.ADMINISTRATOR),
    }
    return render(request, "outbox/compose.html", context, status=409 if conflict else 200)


def _kept_as_draft(request: HttpRequest, form: ComposeForm, start: ComposeOrigin) -> HttpResponse:
    """The button "Save draft", which works without JavaScript too."""
    try:
        draft = save_typed(request, start.name)
    except drafts.DraftConflict as conflict:
        own = request.POST.copy()
        own["idempotency_key"] = str(uuid.uuid4())
        form.data = own
        return _page(request, form, start, conflict=str(conflict))
    except OutboxError as error:
        form.add_error(None, str(error))
        return _page(request, form, start)
    notices.success(
        request, gettext("Kept as a draft.") if draft else gettext("There is nothing to keep yet: the page is empty.")
    )
    return redirect(address_of(draft) if draft else request.get_full_path())


def _senders(request: HttpRequest, parent: Message | None) -> QuerySet[Account]:
    """An answer goes out from the account that has the message: its References mean something only there."""
    accounts = accounts_for(request.user, Role.OPERATOR).filter(send_enabled=True).order_by("email")
    return accounts.filter(pk=parent.account_id) if parent else accounts


def _initial(request: HttpRequest, start: ComposeOrigin, accounts: QuerySet[Account]) -> dict[str, Any]:
    if start.draft and "draft" in request.GET:
        return _as_left(start.draft)
    if start.written:
        return _again(start.written)
    if start.message is None:
        return {} if request.method == "POST" else _new(number_of(request, "account"), accounts)
    message, letter = start.message, _letter(start.message)
    signed = partial(replies.signed, message.account.signature)
    if start.way == "forward":
        shown = {"subject": replies.forward_subject(message.subject), "body_text": signed(replies.forwarded(letter))}
        return shown | {"account": message.account_id}
    answer = {
        "account": message.account_id,
        "to": replies.answer_to(letter, [message.account.email]) or message.reply_to or message.sender,
        "subject": replies.reply_subject(message.subject),
        "body_text": signed(replies.quoted(letter)),
    }
    if start.way == "reply_all":
        everyone = replies.reply_to_all(letter, [message.account.email])
        answer |= {"to": everyone.to, "cc": everyone.cc, "left_out": everyone.left_out}
    return answer


def _new(given: int | None, accounts: QuerySet[Account]) -> dict[str, Any]:
    """From the account that is given; signed for it, or for the only one there is."""
    pks = list(accounts.values_list("pk", "signature")[:2]) if given is None else []
    chosen = accounts.filter(pk=given).values_list("pk", "signature").first() if given else None
    of_one = chosen or (pks[0] if len(pks) == 1 else None)
    shown: dict[str, Any] = {"account": chosen[0] if chosen else None}
    return shown | ({"body_text": replies.signed(of_one[1])} if of_one and of_one[1] else {})


def _again(source: OutboxMessage) -> dict[str, Any]:
    """What was typed, as it was typed."""
    shown: dict[str, Any] = {
        name: getattr(source, name) for name in ("to", "cc", "bcc", "subject", "body_text", "send_at")
    }
    return shown | {"account": source.account_id}


def _as_left(draft: Draft) -> dict[str, Any]:
    shown: dict[str, Any] = {name: getattr(draft, name) for name in (*drafts.FIELDS, "send_at", "refused")}
    kept = {} if draft.kept is None else {"kept": draft.kept}
    return shown | kept | {"account": draft.account_id, "idempotency_key": draft.key}


def _letter(message: Message) -> replies.OriginalMessage:
    return replies.OriginalMessage(
        subject=message.subject,
        sender=message.sender,
        reply_to=message.reply_to,
        recipients=message.recipients,
        cc=message.cc,
        text=mime_body.readable(message),
        at=timezone.localtime(message.date or message.received_at),
    )


def _queue(request: HttpRequest, form: ComposeForm, parent: Message | None) -> api.ApiResponse:
    sent = form.cleaned_data
    return api.queue(
        sent["account"].pk,
        sent["to"],
        sent["subject"],
        sent["body_text"],
        failure_mode=sent.get("failure_mode") or None,
        cc=sent["cc"] or (),
        bcc=sent["bcc"] or (),
        attachments=files_of(sent),
        idempotency_key=key_of(sent),
        send_at=sent["send_at"],
        undo_seconds=settings.OUTBOX_UNDO_SECONDS,
        user=signed_in_user(request),
        parent_pk=parent.pk if parent else None,
        send_suppressed=sent["send_suppressed"],
    )
