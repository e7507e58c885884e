"""The buttons of an account's page. Each writes a row or queues a task; none opens a connection."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from mailbox.models import Account, SyncState
from mailbox.models.account_words import SITE_MAIL_IS_NOT_FETCHED
from mailbox.permissions import Role, get_account
from mailbox.sync import uidvalidity
from mailbox.tasks import sync as sync_tasks
from mailbox.views.accounts.account_edit import queue_first_look
from mailbox.views.activity.audit import record
from mailbox.views.requests import back_to, posted_time, shown_pause


def _back(request: HttpRequest, account: Account) -> HttpResponse:
    return redirect(back_to(request, reverse("mailbox:account", args=[account.pk])))


@require_POST
def sync_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a sync of the account's folders, also of those in backoff."""
    account = get_account(request.user, pk, Role.OPERATOR)
    with transaction.atomic():
        sync_tasks.queue_sync(account.pk, request.user.pk)
        record(request, "sync_now", f"account:{pk}", account)
    messages.success(
        request,
        gettext("A sync of %(account)s is queued; a worker starts it in a moment.") % {"account": account.email},
    )
    return _back(request, account)


@require_POST
def go_on(request: HttpRequest, pk: int) -> HttpResponse:
    """Resume folders whose sync was stopped after repeated changes of UIDVALIDITY."""
    account = get_account(request.user, pk, Role.OPERATOR)
    shown_at = posted_time(request, "shown_at")
    with transaction.atomic():
        if shown_at and uidvalidity.let_go_on(account.pk, shown_at):
            record(request, "go_on", f"account:{pk}", account)
            sync_tasks.queue_sync(account.pk, request.user.pk)
    if SyncState.objects.filter(account=account, stopped_at__isnull=False).exists():
        words = gettext("A folder of %(account)s was stopped since your page was loaded, and stays stopped.")
        messages.warning(request, words % {"account": account.email})
        return _back(request, account)
    messages.success(
        request,
        gettext("The stopped folders of %(account)s are fetched again; what is here is kept.")
        % {"account": account.email},
    )
    return _back(request, account)


@require_POST
def pause_sending(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop sending from the account until a person resumes it. Needs the role operator for it."""
    account = get_account(request.user, pk, Role.OPERATOR)
    with transaction.atomic():
        if Account.objects.filter(pk=pk, sending_paused_at=None).update(sending_paused_at=timezone.now()):
            record(request, "pause_sending", f"account:{pk}", account)
    messages.success(
        request,
        gettext("Sending from %(account)s is paused. Mail is kept until you resume it.") % {"account": account.email},
    )
    return _back(request, account)


@require_POST
def resume_sending(request: HttpRequest, pk: int) -> HttpResponse:
    """Send again; not if the account was paused anew since the page was loaded. Needs the role operator for it."""
    account = get_account(request.user, pk, Role.OPERATOR)
    paused = Account.objects.filter(pk=pk, sending_paused_at__isnull=False)
    with transaction.atomic():
        is_resumed = paused.filter(sending_paused_at=shown_pause(request)).update(sending_paused_at=None)
        if is_resumed:
            record(request, "resume_sending", f"account:{pk}", account)
    if not is_resumed and paused.exists():
        words = gettext("Sending from %(account)s was paused anew since your page was loaded, and stays paused.")
        messages.warning(request, words % {"account": account.email})
        return _back(request, account)
    messages.success(
        request, gettext("Sending from %(account)s is on again; what waits goes out now.") % {"account": account.email}
    )
    return _back(request, account)


@require_POST
def fetching(request: HttpRequest, pk: int) -> HttpResponse:
    """Switch fetching on or off: `on` is 1 or 0."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    on = request.POST.get("on") == "1"
    if on and account.sends_site_mail:
        messages.error(request, gettext(SITE_MAIL_IS_NOT_FETCHED))
        return _back(request, account)
    with transaction.atomic():
        if Account.objects.filter(pk=pk, sync_enabled=not on).update(sync_enabled=on, deletion_stopped_at=None):
            record(request, "fetching_on" if on else "fetching_off", f"account:{pk}", account)
    if on:
        account.sync_enabled = True
        queue_first_look(request, account)
    words = (
        gettext("Mail of %(account)s is fetched again.")
        if on
        else gettext("Mail of %(account)s is no longer fetched; what is here stays.")
    )
    messages.success(request, words % {"account": account.email})
    return _back(request, account)
