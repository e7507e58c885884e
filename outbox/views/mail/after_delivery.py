"""Buttons for what follows an attempt: look in Sent now, make the copy again, acknowledge a bounce."""

from __future__ import annotations

from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from mailbox.permissions import Role
from mailbox.views.requests import back_to, posted_key, signed_in_user
from outbox.bounces import matching as bounces_matching
from outbox.errors import OutboxError
from outbox.sent_folder import copy as sent_folder_copy
from outbox.sent_folder import lookup as sent_folder_lookup
from outbox.tasks import sent_folder as sent_folder_tasks
from outbox.views.visible_rows import find_row


def _back(request: HttpRequest, pk: int) -> HttpResponse:
    return redirect(back_to(request, reverse("outbox:detail", args=[pk])))


@require_POST
def look(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a look in Sent, in addition to the planned ones."""
    row = find_row(request, pk, Role.OPERATOR)
    lookup_id = sent_folder_lookup.ask_now(row.pk, timezone.now())
    if lookup_id is None:
        notices.error(request, gettext("There is nothing to look for: whether this mail went out is known."))
    else:
        sent_folder_tasks.queue_look(lookup_id)
        notices.success(request, gettext("A worker looks in Sent of %(account)s now.") % {"account": row.account.email})
    return _back(request, pk)


@require_POST
def copy_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a failed copy in Sent once more."""
    row = find_row(request, pk, Role.OPERATOR)
    try:
        sent_folder_copy.try_again(row, user=signed_in_user(request), now=timezone.now())
    except OutboxError as error:
        notices.error(request, str(error))
    else:
        sent_folder_tasks.queue_copies(row.account_id)
        notices.success(request, gettext("A worker makes the copy in Sent now."))
    return _back(request, pk)


@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Acknowledge the mail's bounces and complaints, so that they are no longer listed under "Needs you"."""
    row = find_row(request, pk, Role.OPERATOR)
    last_shown = posted_key(request, "last_report") or 0
    if bounces_matching.acknowledge(row, user=signed_in_user(request), last_shown=last_shown):
        words = gettext("“%(subject)s”: noted. What was reported stays on its page.")
        notices.success(request, words % {"subject": row.subject[:80]})
    if row.reports.unacknowledged().exists():
        notices.warning(request, gettext("Another report came since your page was loaded: see it first."))
    return _back(request, pk)
