"""Buttons for the send time of a mail without attempts: undo, another time."""

from __future__ import annotations

from datetime import datetime

from django import forms
from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from mailbox.permissions import Role
from mailbox.views.requests import back_to, signed_in_user
from outbox import api
from outbox.views.mail.actions import refusal
from outbox.views.visible_rows import find_row


@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel the mail and open the page to write it with the same content."""
    row = find_row(request, pk, Role.OPERATOR)
    response = api.undo(pk, user=signed_in_user(request))
    if not response.ok:
        notices.error(request, f"“{row.subject[:80]}”: {refusal(response)}")
        return redirect("outbox:detail", pk)
    notices.success(request, gettext("Nothing was sent. Here is the mail as you wrote it."))
    return redirect(f"{reverse('outbox:compose')}?again={pk}")


@require_POST
def reschedule(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a mail without attempts another send time; an empty field means now."""
    row = find_row(request, pk, Role.OPERATOR)
    back = back_to(request, reverse("outbox:detail", args=[pk]))
    try:
        send_at = _time(request.POST.get("send_at", ""))
    except forms.ValidationError as error:
        notices.error(request, f"“{row.subject[:80]}”: {error.messages[0]}")
        return redirect(back)
    response = api.reschedule(pk, send_at, user=signed_in_user(request))
    if response.ok:
        when = gettext("it goes out at %(time)s.") % {
            "time": date_format(timezone.localtime(send_at), gettext("Y-m-d H:i"))
        }
        notices.success(request, f"“{row.subject[:80]}”: {when}")
    else:
        notices.error(request, f"“{row.subject[:80]}”: {refusal(response)}")
    return redirect(back)


def _time(given: str) -> datetime:
    """The typed time. Raises ValidationError if it is missing, malformed or not in the future."""
    if not given:
        raise forms.ValidationError(gettext("Choose the date and time to send at."))
    found: datetime = forms.DateTimeField(
        error_messages={"invalid": gettext("This is no date and time. Write it as in 2030-01-31 09:00.")}
    ).clean(given)
    if found <= timezone.now():
        raise forms.ValidationError(gettext("This time is past. Choose a later one, or press “Send now”."))
    return found
