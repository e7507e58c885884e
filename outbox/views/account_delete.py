"""The page that asks before an account is deleted."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from mailbox.localized import grouped
from mailbox.models import Account, Message
from mailbox.permissions import Role, get_account, has_role_everywhere
from mailbox.views.accounts.account_edit import queue_first_look
from mailbox.views.activity.audit import record
from outbox import account_deletion
from outbox.models import OutboxMessage
from outbox.tasks.bulk import queue_deletion

COUNTED_AT_MOST = 10_000


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: what will be deleted. POST: delete it; workers go on with what takes longer than a request should."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    if request.method == "POST" and "keep" in request.POST:
        return _keep(request, account)
    if request.method == "POST" and not account.deleting_since:
        note = partial(record, request, "delete_account", f"account:{pk}", None, account.email)
        outcome = account_deletion.ask(account, note)
        if outcome.refusal:
            messages.error(request, outcome.refusal)
            return redirect("account_delete", pk)
        if outcome.left:
            queue_deletion(pk)
            said = gettext("%(account)s is being deleted here, which takes a while. You need not wait for it.")
        else:
            said = gettext("%(account)s was deleted here. Nothing was changed on its servers.")
        messages.success(request, said % {"account": account.email})
        return redirect("mailbox:accounts")
    message_count = _bounded_count(Message.objects.filter(account=account))
    sent_count = _bounded_count(OutboxMessage.objects.sent().filter(account=account))
    context = {
        "account": account,
        "refusal": account_deletion.refusal_of(account),
        "is_held": account_deletion.is_held(account),
        "may_release": has_role_everywhere(request.user, Role.ADMINISTRATOR),
        "message_count": message_count,  # for singular or plural; the number shown may be "10,000+"
        "messages_shown": _shown(message_count),
        "sent_count": sent_count,
        "sent_shown": _shown(sent_count),
        "folder_count": account.folders.filter(gone_at=None).count(),
    }
    return render(request, "mailbox/accounts/delete.html", context)


def _keep(request: HttpRequest, account: Account) -> HttpResponse:
    """Fetch and send again, after a deletion that was stopped."""
    if account.deletion_stopped_at:
        with transaction.atomic():
            account.keep()
            record(request, "keep_account", f"account:{account.pk}", account)
        if account.sync_enabled:
            queue_first_look(request, account)
        messages.success(request, gettext("%(account)s is kept.") % {"account": account.email})
    return redirect("mailbox:account", account.pk)


def _bounded_count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: COUNTED_AT_MOST + 1].count()


def _shown(number: int) -> str:
    """The number for the question before deletion; "10,000+" for many."""
    shown = grouped(min(number, COUNTED_AT_MOST))
    return f"{shown}+" if number > COUNTED_AT_MOST else shown
