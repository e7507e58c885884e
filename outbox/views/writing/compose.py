"""The page that writes a mail, a reply or a forwarded mail. Send queues it; the mail's own page shows its progress."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

from django.conf import settings
from django.contrib import messages as notices
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from mailbox import features
from mailbox.models import Account, Feature, Message
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from mailbox.views.requests import back_to, posted_key, signed_in_user
from outbox.compose import drafts, formatted_text, saved_replies, text_formats
from outbox.compose.senders import senders_of
from outbox.errors import OutboxError
from outbox.forms import ComposeForm
from outbox.models import AttachmentPolicy, Draft, OutboxMessage
from outbox.views.writing.compose_origin import TITLES, ComposeOrigin, initial_of
from outbox.views.writing.drafts import address_of, drafts_of, forget_sent, page_of, save_typed
from outbox.views.writing.form_sending import note_forwarded, possible_senders, queue_form
from outbox.views.writing.one_mail import NOTHING, Unasked, made_before
from outbox.views.writing.saved_replies import filled, replies_for
from outbox.views.writing.unsent import keeps_what_was_typed


@keeps_what_was_typed
@require_http_methods(["GET", "HEAD", "POST"])
def compose(request: HttpRequest) -> HttpResponse:
    """The page and its buttons: send, save as a draft, insert a saved reply, preview."""
    if request.method != "POST" and (mail := _sent_meanwhile(request)):
        return redirect("outbox:detail", mail.pk)
    start = ComposeOrigin.read(request)
    accounts, current = possible_senders(request, start.parent), AttachmentPolicy.current()

    def form_of(data: QueryDict | None, files: MultiValueDict[str, UploadedFile[bytes]] | None) -> ComposeForm:
        return ComposeForm(
            data,
            files,
            senders=senders_of(accounts),
            is_drill=signed_in_user(request).is_staff and ("drill" in request.GET or "failure_mode" in request.POST),
            policy=current,
            carried=start.carried(current),
            initial=initial_of(request, start, accounts),
        )

    form = form_of(request.POST or None, request.FILES or None)
    if start.way in ("reply_to", "reply_all"):  # recipients and subject are filled in already
        form.fields["body_text"].widget.attrs["autofocus"] = True
    elif not form.is_bound and start.draft is None:
        form.fields["to"].widget.attrs["autofocus"] = True
    if request.method == "POST" and request.POST.get("do") == "insert":
        request.POST = _with_saved_reply(request, form)  # type: ignore[assignment]
    if request.method == "POST" and request.POST.get("do") in ("draft", "insert", "preview"):
        return _kept_as_draft(request, form, start)
    unasked = NOTHING
    if request.method == "POST" and form.is_valid():
        unasked = Unasked.of(request, form.cleaned_data)
    for question in unasked.questions:
        form.add_error(None, question)
    if not unasked.questions and request.method == "POST" and form.is_valid():
        response = queue_form(request, form, start.parent)
        if response.ok and response.data:
            return _after_sending(request, form, start, response.data.outbox_id)
        form.add_error(None, response.error.message if response.error else gettext("The mail was not accepted."))
    if request.FILES and not form.is_valid() and (draft := _with_uploads_kept(request, form, start)):
        start, said = replace(start, draft=draft), form.non_field_errors()
        form = form_of(_as_kept(request, draft), None)
        for words in said:
            form.add_error(None, words)
    return _page(request, form, start, unasked=unasked)


def _after_sending(request: HttpRequest, form: ComposeForm, start: ComposeOrigin, pk: int) -> HttpResponse:
    """Delete the draft; redirect to the list the user came from, with a message, else to the mail's page."""
    note_forwarded(request, start, pk)
    forget_sent(request)
    own_page = reverse("outbox:detail", args=[pk])
    back = back_to(request, own_page)
    if back != own_page:
        words = {"subject": form.cleaned_data["subject"][:80], "to": form.cleaned_data["to"][:80]}
        notices.success(request, gettext("“%(subject)s” to %(to)s is queued.") % words, extra_tags=str(pk))
    return redirect(back)


def _with_saved_reply(request: HttpRequest, form: ComposeForm) -> QueryDict:
    """The form's data, valid or not, with the chosen saved reply in its text. It is saved as a draft next."""
    data = request.POST.copy()
    sender = form.fields["account"].sender(data.get("account", ""))  # type: ignore[attr-defined]
    if pk := posted_key(request, "saved_reply"):
        words = filled(request, pk, data.get("to", ""), sender, data.get("subject", ""))
        if data.get("text_format") == text_formats.HTML:  # its place is found in plain text only
            data["body_text"] = formatted_text.html_of(words) + data.get("body_text", "")
        else:
            data["body_text"] = saved_replies.insert(data.get("body_text", "").replace("\r\n", "\n"), words)
    return data


def _sent_meanwhile(request: HttpRequest) -> OutboxMessage | None:
    """The mail that was made of the draft in the URL, if the draft is gone; else None. The URL has its key for this."""
    if not request.GET.get("key") or drafts_of(request).exists():
        return None
    return made_before(request, request.GET["key"])


def _with_uploads_kept(request: HttpRequest, form: ComposeForm, start: ComposeOrigin) -> Draft | None:
    """Save the form and its uploads as a draft, when the form is refused; None, with an error, if that fails.

    A browser does not upload files again, so the next press of Send would send the mail without them.
    """
    try:
        return save_typed(request, start.name)
    except (drafts.DraftConflict, OutboxError) as error:
        form.add_error(None, str(error))
        return None


def _as_kept(request: HttpRequest, draft: Draft) -> QueryDict:
    """The form's data after its uploads were saved with the draft."""
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
    unasked: Unasked = NOTHING,
) -> HttpResponse:
    # After a conflict with another tab, this page continues as a new draft.
    draft = None if conflict else start.draft
    version = form.data.get("version") if form.is_bound else None
    if draft and page_of(request).goes_on_from(draft):
        version = draft.version  # the page's script saved the draft after this form was submitted
    context = {
        "form": form,
        "title": gettext("Draft") if draft and not start.way else TITLES.get(start.way, gettext("Write a mail")),
        "parent": start.message,
        "read_message": start.read_message,
        "is_forward": start.way == "forward",
        "sent_from": _sent_from(form),
        "saved_replies": [] if start.way == "forward" else list(replies_for(request).values_list("pk", "name")),
        "is_folded": _is_folded(form, start),
        "left_out": form.initial.get("left_out", 0),
        "can_send": (can_send := bool(form.fields["account"].choices)),  # type: ignore[attr-defined]
        "is_first": not can_send and not Account.objects.exists(),
        "refusal": "" if can_send else _refusal(request, start.parent),
        "files_lost": bool(form.files),
        "undo_seconds": settings.OUTBOX_UNDO_SECONDS,
        "draft": draft,
        "version": (version or draft.version) if draft else 1,
        "start": start.name,
        "conflict": conflict,
        "unasked": unasked,
        "answered": {name: request.POST[name] for name in ("another", "unwritten") if name in request.POST},
        "preview": _preview(request, draft),
        "pictures": json.dumps(form.pictures),
        "may_administer": has_role_everywhere(request.user, Role.ADMINISTRATOR),
    }
    return render(request, "outbox/compose.html", context, status=409 if conflict else 200)


def _preview(request: HttpRequest, draft: Draft | None) -> str:
    if draft is None or "preview" not in request.GET:
        return ""
    return text_formats.preview(draft.text_format, draft.body_text)


def _kept_words(request: HttpRequest) -> str:
    if request.POST.get("do") == "insert":
        return gettext("The saved reply stands in the text, and the mail is kept as a draft.")
    return gettext("Kept as a draft.")


def _is_folded(form: ComposeForm, start: ComposeOrigin) -> bool:
    """Whether a reply shows its sender, recipients and subject as one line that opens on a click."""
    names = ("account", "to", "cc", "bcc", "subject")
    is_answer = start.way in ("reply_to", "reply_all") and bool(form["to"].value()) and bool(form["subject"].value())
    return is_answer and not form["bcc"].value() and not any(name in form.errors for name in names)


def _sent_from(form: ComposeForm) -> str:
    """The label of the chosen sender if there are several; else ""."""
    offered = form.fields["account"].choices  # type: ignore[attr-defined]
    return str(dict(offered).get(str(form["account"].value()), "")) if len(offered) > 1 else ""


def _kept_as_draft(request: HttpRequest, form: ComposeForm, start: ComposeOrigin) -> HttpResponse:
    """Save the form as a draft, for the buttons that do so; they work without JavaScript too."""
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
        request, _kept_words(request) if draft else gettext("There is nothing to keep yet: the page is empty.")
    )
    if draft and request.POST.get("do") == "preview":
        return redirect(f"{address_of(draft)}&preview=1#preview")
    return redirect(address_of(draft) if draft else request.get_full_path())


def _refusal(request: HttpRequest, parent: Message | None) -> str:
    """The sentence that says that the feature is off, if that is why there is no account to send from; else ""."""
    if parent:
        return features.refusal(Feature.EMAIL_REPLY, parent.account, features.Rollouts.known_to(request.user))
    operated = set(accounts_for(request.user, Role.OPERATOR).filter(send_enabled=True).values_list("pk", flat=True))
    off = features.those_off(Feature.EMAIL_SEND, among=operated, known=features.Rollouts.known_to(request.user))
    return str(features.refused(Feature.EMAIL_SEND, None)) if off and off == operated else ""
