"""Drafts: saved while a person types, listed, continued, discarded. Only its writer sees a draft."""

from __future__ import annotations

import uuid

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbox.permissions import Role, accounts_for, has_role_somewhere
from mailbox.views.requests import signed_in_user
from outbox.compose import attachments, drafts
from outbox.compose.attachments import MAX_ATTACHMENTS, AttachmentContent
from outbox.compose.carried_attachments import picture_id
from outbox.errors import OutboxError
from outbox.forms import NO_STORE, RefusedFile, read_upload
from outbox.models import AttachmentPolicy, Draft
from outbox.views.writing.one_mail import made_before


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def address_of(draft: Draft) -> str:
    """The URL of a draft's page. It includes the key, by which the mail is found after the draft was sent."""
    return f"{reverse('outbox:compose')}?draft={draft.pk}&key={draft.key}"


def drafts_of(request: HttpRequest) -> QuerySet[Draft]:
    """A query for the user's draft that `?draft=` names."""
    return drafts.of_user(signed_in_user(request)).filter(pk=_number(request.GET.get("draft", "")))


def find_draft(request: HttpRequest) -> Draft | None:
    """The draft that the URL or the form names. Raises Http404 for a GET if it is gone or another user's."""
    given = request.GET.get("draft") or ""
    if given:
        draft = drafts_of(request).first()
        if draft is None and request.method != "POST":
            raise Http404("There is no such draft: it was sent or discarded meanwhile.")
        return draft  # None for a POST: a form may be sent although its draft is gone
    return drafts.of_user(signed_in_user(request)).filter(pk=_number(request.POST.get("draft", ""))).first()


def save_typed(request: HttpRequest, start: str) -> Draft | None:
    """Save the form as a draft; None if it is empty or its mail was made meanwhile.

    Raises drafts.DraftConflict, OutboxError, PermissionDenied.
    """
    typed = _typed(request, start)
    pk = _number(request.POST.get("draft", "")) or None
    if typed.is_empty and pk is None:
        return None
    user, version = signed_in_user(request), _number(request.POST.get("version", "")) or 1
    if not has_role_somewhere(user, Role.OPERATOR):
        raise PermissionDenied(gettext("You need the role operator for an account to write mail."))
    draft = drafts.save(user, typed, key=_key(request), pk=pk, version=version, page=page_of(request))
    # Checked after the draft was committed: a Send that commits later finds the draft and deletes it itself.
    sent = made_before(request, str(draft.key)) if pk is None else None
    return None if sent and drafts.forget_overtaken(draft, sent) else draft


def page_of(request: HttpRequest) -> drafts.PageSave:
    """The page's key and the number of this save, as the page's script sent them."""
    key = request.POST.get("page", "").replace("\0", "")[:40]
    return drafts.PageSave(key, _number(request.POST.get("page_save", ""))) if key else drafts.PageSave()


def _key(request: HttpRequest) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get("idempotency_key", ""))
    except ValueError:
        return uuid.uuid4()


def _typed(request: HttpRequest, start: str) -> drafts.FormContents:
    account_pk, alias_pk = map(_number, request.POST.get("account", "").partition("-")[::2])
    account = accounts_for(request.user, Role.OPERATOR).filter(pk=account_pk).first()
    files, refused = read_uploads(request)
    return drafts.FormContents(
        texts={name: request.POST.get(name, "").replace("\r\n", "\n") for name in drafts.FIELDS},
        account=account,
        alias=account.aliases.filter(pk=alias_pk).first() if account and alias_pk else None,
        send_at=request.POST.get("send_at", ""),
        text_format=request.POST.get("text_format", "").replace("\0", ""),
        start=start,
        kept=[key[:40] for key in request.POST.getlist("kept")][:200],
        files=files,
        refused=[value[:600].replace("\0", "") for value in refused][:MAX_ATTACHMENTS],
    )


def read_uploads(request: HttpRequest) -> tuple[list[AttachmentContent], list[str]]:
    """The uploads that the policy allows, and the form values of those it refuses now or refused before."""
    left_out = request.POST.getlist("without")
    current, read = AttachmentPolicy.current(), list[AttachmentContent]()
    refused = [value for value in request.POST.getlist("refused") if value not in left_out]
    for file in request.FILES.getlist("attachments"):
        file.seek(0)
        try:
            read.append(attachments.read_attachment(read_upload(file, current), current, NO_STORE))
        except OutboxError as error:
            refused.append(RefusedFile.of_upload(file.name or "", gettext(str(error))).value)
    return read, refused


def forget_sent(request: HttpRequest) -> None:
    """Delete the draft of the form, whose mail was created."""
    pk = _number(request.POST.get("draft", "")) or None
    version = _number(request.POST.get("version", ""))
    drafts.forget_sent(signed_in_user(request), key=_key(request), pk=pk, version=version, page=page_of(request))


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Save a draft for the page's script: 200 with the new version, 204 if nothing was saved, 409 if another tab saved
    a newer version, 422 with a refusal."""
    try:
        draft = save_typed(request, request.POST.get("start", ""))
    except drafts.DraftConflict as conflict:
        return JsonResponse({"said": str(conflict)}, status=409)
    except OutboxError as refused:
        return JsonResponse({"said": str(refused)}, status=422)
    if draft is None:
        return HttpResponse(status=204)
    files = [
        {
            "key": file.form_key,
            "name": file.filename,
            "label": f"{file.filename} ({filesizeformat(file.size)})",
            "picture": picture_id(file.content_type, file.raw_digest),
        }
        for file in draft.files.all()
    ]
    kept_here = [RefusedFile.read(value) for value in draft.refused]
    said = [{"value": each.value, "name": each.filename, "reason": each.reason} for each in kept_here]
    return JsonResponse({"draft": draft.pk, "version": draft.version, "files": files, "refused": said})


@require_safe
def listed(request: HttpRequest) -> HttpResponse:
    """The user's drafts, the last saved first."""
    rows = drafts.of_user(signed_in_user(request)).select_related("account").defer("body_text").order_by("-updated_at")
    return render(request, "outbox/drafts.html", {"drafts": list(rows[: drafts.MAX_DRAFTS])})


@require_http_methods(["GET", "HEAD", "POST"])
def discard(request: HttpRequest, pk: int) -> HttpResponse:
    """Discard a draft: GET asks, POST does it."""
    user = signed_in_user(request)
    draft = drafts.of_user(user).filter(pk=pk).first()
    if draft is None:
        raise Http404("There is no such draft: it was sent or discarded meanwhile.")
    if request.method == "POST":
        if not drafts.discard(user, pk, _number(request.POST.get("version", ""))):
            notices.warning(request, gettext("The draft has changed since you were asked, and is kept: look again."))
            return redirect("outbox:draft_discard", pk)
        notices.success(
            request,
            gettext("The draft “%(subject)s” is discarded.")
            % {"subject": draft.subject[:80] or gettext("(no subject yet)")},
        )
        return redirect("outbox:drafts")
    return render(request, "outbox/draft_discard.html", {"draft": draft})
