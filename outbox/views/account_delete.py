"""Deletes an account, unless mail is waiting in its outbox. It is in outbox because mailbox must not import outbox."""

from __future__ import annotations

import socket
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_http_methods

from mailbox.localized import grouped
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Account, Lease, Message
from mailbox.pace import LOOKED_UP, Pace
from mailbox.permissions import Role, get_account
from mailbox.views.activity.audit import record
from outbox.models import OutboxMessage
from outbox.views.legal_holds import holds_account

LEASE_SECONDS = 600
COUNTED_AT_MOST = 10_000


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: what will be deleted. POST: delete it."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    if request.method == "POST":
        refusal = delete_account(account)
        if refusal:
            messages.error(request, refusal)
            return redirect("account_delete", pk)
        record(request, "delete_account", f"account:{pk}", None, account.email)
        messages.success(
            request,
            gettext("%(account)s was deleted here. Nothing was changed on its servers.") % {"account": account.email},
        )
        return redirect("mailbox:accounts")
    message_count = _bounded_count(Message.objects.filter(account=account))
    sent_count = _bounded_count(OutboxMessage.objects.sent().filter(account=account))
    context = {
        "account": account,
        "refusal": _refusal(account),
        "message_count": message_count,  # for singular or plural; the number shown may be "10,000+"
        "messages_shown": _shown(message_count),
        "sent_count": sent_count,
        "sent_shown": _shown(sent_count),
        "folder_count": account.folders.filter(gone_at=None).count(),
    }
    return render(request, "mailbox/accounts/delete.html", context)


def delete_account(account: Account) -> str:
    """Delete the account with everything that belongs to it. Returns a sentence that says why not, or ""."""
    return _refusal(account) or _take_away(account)


def _bounded_count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: COUNTED_AT_MOST + 1].count()


def _shown(number: int) -> str:
    """The number for the question before deletion; "10,000+" for many."""
    shown = grouped(min(number, COUNTED_AT_MOST))
    return f"{shown}+" if number > COUNTED_AT_MOST else shown


def _refusal(account: Account) -> str:
    """Why the account may not be deleted ("" if it may): unsent mail would be lost, or a legal hold keeps its mail."""
    if holds_account(account.pk, LegalHolds.standing()):
        return _held(account)
    # Of all accounts: with a condition on the account, a planner reads all it ever sent (see visible_rows.count_tabs).
    undelivered = OutboxMessage.objects.filter(status__in=["pending", "sending", "failed"]).order_by()
    count = dict(undelivered.values_list("account").annotate(Count("pk"))).get(account.pk, 0)
    if not count:
        return ""
    words = ngettext(
        "%(number)s mail has not gone out from %(account)s. Send, cancel or decide on them in the outbox first.",
        "%(number)s mails have not gone out from %(account)s. Send, cancel or decide on them in the outbox first.",
        count,
    )
    return words % {"number": count, "account": account.email}


def _held(account: Account) -> str:
    return gettext("A legal hold keeps mail of %(account)s: release it first (page Retention).") % {
        "account": account.email
    }


def _take_away(account: Account) -> str:
    """Delete in batches, holding all leases of the account. Returns a sentence that says why not, or ""."""
    Account.objects.filter(pk=account.pk).update(sync_enabled=False, send_enabled=False)
    held = _all_leases(account)
    if held is None:
        refusal = gettext("A worker is busy with %(account)s at this moment. Try again in a minute.") % {
            "account": account.email
        }
    else:  # check again: a mail may have been written since the page was shown
        refusal = _refusal(account) or _remove_batches(account, held)
    if refusal:
        for purpose, token in held or ():
            Lease.release(account.pk, purpose, token)
        switches = {"sync_enabled": account.sync_enabled, "send_enabled": account.send_enabled}
        Account.objects.filter(pk=account.pk).update(**switches)
    return refusal


def _remove_batches(account: Account, held: list[tuple[str, str]], pace: Pace | None = None) -> str:
    """Delete its mail at a pace that leaves pages quick, then the account, and keep the leases `held` meanwhile.

    A legal hold set meanwhile stops it, as does a mail written meanwhile: returns the sentence, or "".
    """
    pace = pace or Pace()
    over = OutboxMessage.objects.filter(status__in=[OutboxMessage.Status.SENT, OutboxMessage.Status.CANCELLED])
    for rows in (Message.objects.filter(account=account), over.filter(account=account)):
        while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:LOOKED_UP]):
            for purpose, token in held:
                Lease.renew(account.pk, purpose, token, seconds=LEASE_SECONDS, now=timezone.now())
            for part in pace.parts(pks):
                with transaction.atomic():
                    if holds_account(account.pk, LegalHolds.until_commit()):
                        return _held(account)
                    rows.filter(pk__in=part).delete()
    with transaction.atomic():
        if holds_account(account.pk, LegalHolds.until_commit()):
            return _held(account)
        if refusal := _refusal(account):
            return refusal
        account.delete()
    return ""


def _all_leases(account: Account) -> list[tuple[str, str]] | None:
    """Take the leases for sync, sending and Sent, so that no worker writes rows meanwhile; None if one is held."""
    now, holder = timezone.now(), f"deletion on {socket.gethostname()}"
    held: list[tuple[str, str]] = []
    for purpose in (Lease.Purpose.SYNC, Lease.Purpose.SEND, Lease.Purpose.SENT):
        token = Lease.acquire(account.pk, purpose, holder, seconds=LEASE_SECONDS, now=now)
        if token is None:
            for each, ours in held:
                Lease.release(account.pk, each, ours)
            return None
        held.append((purpose, token))
    return held
