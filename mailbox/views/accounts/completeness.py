"""The completeness page of an account: the last comparison of stored mail with the server, by folder."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from mailbox.completeness import words
from mailbox.models import Completeness
from mailbox.permissions import Role, accounts_for, get_account
from mailbox.tasks import completeness as tasks
from mailbox.views.activity.audit import record


@require_safe
def completeness(request: HttpRequest, pk: int) -> HttpResponse:
    """The account's last comparison, or that there is none yet. Needs any role for it."""
    account = get_account(request.user, pk)
    row = Completeness.objects.filter(account=account).first()
    context = {
        "account": account,
        "row": row,
        "lines": words.lines_of(row),
        "may_compare": account.sync_enabled and accounts_for(request.user, Role.OPERATOR).filter(pk=pk).exists(),
    }
    return render(request, "mailbox/accounts/completeness.html", context)


@require_safe
def report(request: HttpRequest, pk: int) -> HttpResponse:
    """Download the signed report, which `manage.py completeness --verify FILE` verifies."""
    account = get_account(request.user, pk)
    row = Completeness.objects.filter(account=account, finished_at__isnull=False).first()
    if row is None:
        raise Http404
    name = f"completeness-{account.pk}-{row.finished_at:%Y%m%d-%H%M}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return JsonResponse(row.document, headers=headers, json_dumps_params={"indent": 1, "sort_keys": True})


@require_POST
def compare_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a comparison, unless no mail of the account is fetched. Needs the role operator for it."""
    account = get_account(request.user, pk, Role.OPERATOR)
    if account.sync_enabled:
        tasks.queue_comparison(account.pk)
        record(request, "compare_now", f"account:{pk}", account)
        messages.success(request, gettext("A worker compares the folders with the server's in a moment."))
    else:
        messages.warning(request, gettext("No mail of this account is fetched, so nothing is compared."))
    return redirect("mailbox:account_completeness", pk)
