"""Attachments both ways: listed, filtered, downloaded; and the policy for those that go out."""

from __future__ import annotations

from mailbox.access import Role, has_role_everywhere
from mailbox.models import Attachment
from mailbox.views.asking import Refused, cut, limit_of, next_page, number_of, of_accounts, record, signed_in_user
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from outbox.forms import PolicyForm
from outbox.models import AttachmentPolicy, OutboxAttachment
from outbox.views.finding import operated_accounts, visible_accounts

DIRECTIONS = {"received": "Received", "sent": "Sent"}
# What the address calls a kind of file, its label, and how its types begin.
TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "image": ("Images", ("image/",)),
    "pdf": ("PDF", ("application/pdf",)),
    "text": ("Text", ("text/",)),
    "archive": ("Archives", ("application/zip", "application/x-", "application/gzip", "application/vnd.rar")),
    "office": ("Office documents", ("application/vnd.", "application/msword", "application/rtf")),
    "message": ("Messages", ("message/",)),
    "media": ("Sound and video", ("audio/", "video/")),
}


@require_safe
def attachments(request: HttpRequest) -> HttpResponse:
    limit, before, account = limit_of(request), number_of(request, "before"), number_of(request, "account")
    direction, kind = _asked(request, "direction", "received", DIRECTIONS), _asked(request, "type", "", TYPES)
    rows = _received(request, account) if direction == "received" else _sent(request, account)
    if kind:
        conditions = Q()
        for start in TYPES[kind][1]:
            conditions |= Q(content_type__startswith=start)
        rows = rows.filter(conditions)
    if before:
        rows = rows.filter(pk__lt=before)
    page, last = cut(list(rows.order_by("-pk")[: limit + 1]), limit)
    kept = {name: value for name, value in (("type", kind), ("account", account)) if value}
    context = {
        "rows": page,
        "direction": direction,
        "directions": [(name, label, urlencode({"direction": name, **kept})) for name, label in DIRECTIONS.items()],
        "kind": kind,
        "kinds": [(name, label) for name, (label, _starts) in TYPES.items()],
        "account": account,
        "accounts": visible_accounts(request),
        "next_url": next_page(request, last.pk) if last else "",
        "is_first_page": not before,
        "is_filtered": bool(kind or account),
        "operated": operated_accounts(request),
        "policy": AttachmentPolicy.current(),
        "may_administer": has_role_everywhere(request.user, Role.ADMINISTRATOR),
    }
    return render(request, "outbox/attachments.html", context)


def _asked(request: HttpRequest, name: str, default: str, known: dict[str, Any]) -> str:
    given = request.GET.get(name, default) or default
    if given and given not in known:
        raise Refused(f"There is no {name} “{given[:40]}”. Choose one of: {', '.join(known)}.")
    return given


def _received(request: HttpRequest, account: int | None) -> QuerySet[Any]:
    rows = Attachment.objects.filter(removed_at=None, message__gone_at=None)
    rows = of_accounts(rows, request, field="message__account").select_related("message__account")
    rows = rows.filter(message__account=account) if account else rows
    return rows.defer("message__body_text", "message__body_html")


def _sent(request: HttpRequest, account: int | None) -> QuerySet[Any]:
    rows = of_accounts(OutboxAttachment.objects.all(), request, field="outbox__account")
    rows = rows.filter(outbox__account=account) if account else rows
    return rows.select_related("outbox__account").defer("outbox__body_text", "outbox__body_html")


@require_http_methods(["GET", "HEAD", "POST"])
def policy(request: HttpRequest) -> HttpResponse:
    """What may be attached. An administrator of everything edits it; it holds for every account."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied("The attachment policy needs the role administrator for all accounts.")
    current = AttachmentPolicy.current()
    form = PolicyForm(request.POST or None, instance=current)
    if request.method == "POST" and form.is_valid():
        changed = form.save(commit=False)
        changed.updated_by = signed_in_user(request)
        changed.save()
        types = ", ".join(changed.allowed_content_types)
        record(request, "edit_policy", "attachment_policy", detail=f"{changed.max_size_bytes} bytes; {types}")
        notices.success(request, "The policy is saved and holds for every mail written from now on.")
        return redirect("outbox:policy")
    return render(request, "outbox/policy.html", {"form": form, "policy": current})
