"""Pause and resume all sending of the installation."""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.activity.audit import record
from mailbox.views.confirmation import Question, asks_first
from mailbox.views.requests import back_to, shown_pause, signed_in_user
from outbox.models import SendingSwitch

PAUSE = (
    _("Pause all sending?"),
    _("Mail of every account is kept in the outbox and goes out once somebody resumes."),
    _("Pause all sending"),
)


def _require_administrator(request: HttpRequest) -> None:
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(
            gettext("Pausing and resuming all sending needs the role administrator for all accounts.")
        )


@require_POST
def pause_sending(request: HttpRequest) -> HttpResponse:
    """Pause all sending, after a question. Raises PermissionDenied unless administrator of all accounts."""
    _require_administrator(request)
    back = back_to(request, reverse("outbox:list"))
    if asked := asks_first(request, Question(*PAUSE, back, is_danger=False)):
        return asked
    if pause_all(request, request.POST.get("reason", "").replace("\x00", "").strip()[:300]):
        notices.success(request, gettext("All sending is paused. Mail is kept and goes out when you resume."))
    return redirect(back)


@require_POST
def resume_sending(request: HttpRequest) -> HttpResponse:
    """End the pause that the page showed, not a newer one. Raises PermissionDenied as pause_sending() does."""
    _require_administrator(request)
    if resume_all(request, shown_pause(request)):
        notices.success(request, gettext("Sending is resumed. What waits goes out within a minute."))
    elif SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).exists():
        words = gettext("Sending was paused anew since your page was loaded, and stays paused: see the reason first.")
        notices.warning(request, words)
    return redirect(back_to(request, reverse("outbox:list")))


@transaction.atomic
def pause_all(request: HttpRequest, reason: str) -> bool:
    """Pause all sending; False when it was paused already."""
    SendingSwitch.current()
    off = SendingSwitch.objects.filter(pk=1, paused_at=None)
    if not off.update(paused_at=timezone.now(), paused_by=signed_in_user(request), reason=reason):
        return False
    record(request, "pause_sending", "sending", detail=reason)
    return True


@transaction.atomic
def resume_all(request: HttpRequest, paused_at: datetime | None) -> bool:
    """End the pause of this time; False when it has ended, or is another one."""
    paused = SendingSwitch.objects.filter(pk=1, paused_at__isnull=False, paused_at=paused_at)
    if not paused.update(paused_at=None, paused_by=None, reason=""):
        return False
    record(request, "resume_sending", "sending")
    return True
