"""Parsing stored mail again: how much an older parser has read, the progress of a round, the button to start one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from mailbox.messages import reparse
from mailbox.models import Reparse
from mailbox.permissions import Role, has_role_everywhere
from mailbox.tasks import reparse as reparse_tasks
from mailbox.views.accounts.accounts import is_partial
from mailbox.views.activity.audit import record
from mailbox.views.requests import signed_in_user

ROUNDS_SHOWN = 10


@require_http_methods(["GET", "HEAD", "POST"])
def stored_mail(request: HttpRequest) -> HttpResponse:
    """The page; for administrators of all accounts, since a round parses the mail of all accounts."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(
            gettext("Reading stored mail again concerns all accounts: an administrator of all may ask for it.")
        )
    if request.method == "POST":
        return _begin(request)
    template = "mailbox/_stored_mail.html" if is_partial(request) else "mailbox/stored_mail.html"
    return render(request, template, _page())


def _page() -> dict[str, Any]:
    rounds = list(Reparse.objects.select_related("account", "requested_by")[:ROUNDS_SHOWN])
    for each in rounds:
        each.percent = min(100, each.done * 100 // max(each.total, 1))  # type: ignore[attr-defined]
    under_way = [each for each in rounds if each.finished_at is None]
    return {"waiting": reparse.waiting(), "under_way": under_way, "rounds": [r for r in rounds if r.finished_at]}


def _begin(request: HttpRequest) -> HttpResponse:
    _round, is_new = begin_round(request, everything=request.POST.get("everything") == "1")
    if is_new:
        messages.success(request, gettext("The workers read the stored mail again. This page shows how far they are."))
    else:
        messages.info(request, gettext("The stored mail is being read again already."))
    return redirect("mailbox:stored_mail")


def begin_round(request: HttpRequest, *, everything: bool) -> tuple[Reparse, bool]:
    """Begin a round for all accounts and record it, or find the unfinished one; returns it and whether it is new."""
    with transaction.atomic():
        round_, is_new = reparse.begin(None, everything=everything, requested_by=signed_in_user(request).pk)
        if is_new:
            reparse_tasks.queue_reparse(round_.pk)
            record(
                request, "reparse", f"reparse:{round_.pk}", detail="everything" if everything else "what is outdated"
            )
    return round_, is_new
