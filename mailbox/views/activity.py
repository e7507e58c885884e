"""Who did what, when: every click that changed something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from mailbox.access import Role, accounts_for, has_role_everywhere
from mailbox.models import Account, AuditEntry
from mailbox.views.asking import Refused, cut, limit_of, next_page, number_of, signed_in_user

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe

# Verbs are short keys in the table; a person reads these. An unknown one is shown as it is, without underscores.
SAID = {
    "add_account": "added the account",
    "edit_account": "changed the account's settings",
    "delete_account": "deleted the account",
    "sign_in_again": "entered a new secret",
    "choose_folders": "chose the folders to sync",
    "list_folders": "refreshed the folder list",
    "sync_now": "asked for a sync",
    "pause_sending": "paused sending",
    "resume_sending": "resumed sending",
    "fetching_on": "switched fetching on",
    "fetching_off": "switched fetching off",
    "test_connection": "tested the connection",
    "test_mail": "sent a test mail",
    "retry": "retried a send",
    "send_now": "sent without waiting for its time",
    "send_again": "sent again what may have gone out",
    "mark_as_sent": "marked as sent",
    "cancel": "cancelled a send",
    "undo": "undid a send",
    "bulk_retry": "asked to retry all that match",
    "bulk_send_now": "asked to send all that match now",
    "bulk_cancel": "asked to cancel all that match",
    "bulk_mark_as_sent": "asked to mark all that match as sent",
    "bulk_finished": "had an action on all that match done",
    "bulk_stopped": "stopped an action on all that match",
    "reschedule": "changed the time of a send",
    "found_in_sent": "found in Sent: it went out",
    "copy_again": "asked again for the copy in Sent",
    "acknowledge_bounce": "took note of a bounce",
    "send": "wrote a mail",
    "reply": "wrote an answer",
    "fetch_now": "asked for the whole of a too large message",
    "fetch_again": "asked to fetch a quarantined message again",
    "remove_attachment": "removed an attachment",
    "reparse": "asked to read stored mail again",
    "edit_policy": "changed the attachment policy",
    "grant_rights": "set a user's rights",
    "withdraw_rights": "removed a user or a user's rights",
    "add_alert": "added an alert",
    "edit_alert": "changed an alert",
    "test_alert": "sent a test of an alert",
    "delete_alert": "deleted an alert",
    "change_password": "changed the own password",
}
_PAGES = {
    "outbox": "outbox:detail",
    "operation": "outbox:operation",
    "message": "mailbox:message",
    "account": "mailbox:account",
}


@dataclass(frozen=True)
class Told:
    """An audit entry in words, with the address of what it was done to."""

    entry: AuditEntry
    words: str
    url: str


def told(entries: Iterable[AuditEntry]) -> list[Told]:
    if isinstance(entries, QuerySet):
        entries = entries.select_related("user", "account")
    return [Told(each, _words(each), _url(each)) for each in entries]


def _words(entry: AuditEntry) -> str:
    words = SAID.get(entry.verb, entry.verb.replace("_", " "))
    return f"{words} of all accounts" if entry.target == "sending" else words


def _url(entry: AuditEntry) -> str:
    kind, _, key = entry.target.partition(":")
    if kind not in _PAGES or not key.isdigit() or (kind == "account" and entry.account_id is None):
        return ""
    try:
        return reverse(_PAGES[kind], args=[int(key)])
    except NoReverseMatch:
        return ""


@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """Newest first; `?account=` for one account. Others see the accounts they may see, and what they did themselves."""
    user, limit = signed_in_user(request), limit_of(request)
    rows = AuditEntry.objects.order_by("-pk")
    if not has_role_everywhere(user, Role.ADMINISTRATOR):
        rows = rows.filter(Q(account__in=accounts_for(user)) | Q(user=user))
    account = _account(request)
    if account:
        rows = rows.filter(account=account)
    before = request.GET.get("before", "")
    if before and (not before.isascii() or not before.isdigit() or len(before) > 18):
        raise Refused("The address names no place in this list; start from its first page.")
    if before:
        rows = rows.filter(pk__lt=int(before))
    page, last = cut(told(rows[: limit + 1]), limit)
    context = {
        "entries": page,
        "account": account,
        "next_url": next_page(request, last.entry.pk) if last else "",
        "is_first_page": not before,
    }
    return render(request, "mailbox/activity.html", context)


def _account(request: HttpRequest) -> Account | None:
    pk = number_of(request, "account")
    if pk is None:
        return None
    account = accounts_for(request.user).filter(pk=pk).first()
    if account is None:
        raise Http404("No such account.")
    return account
