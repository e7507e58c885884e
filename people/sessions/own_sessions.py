"""The user's own sessions and sign-ins, as the profile page lists them, and the button that ends all sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from mailbox.models import AuditEntry
from mailbox.views.pagination import FirstRows
from mailbox.views.requests import signed_in_user
from people.models import Session
from people.sign_in import audit

SHOWN = 20


@dataclass(frozen=True)
class ShownSession:
    """A browser that is signed in, without the session key: whoever has that key is signed in."""

    address: str
    agent: str
    began_at: datetime | None
    seen_at: datetime | None
    is_this: bool


def sessions_of(user: User, present_key: str | None = None) -> FirstRows[ShownSession]:
    """The user's sessions that have not expired, the last used first, at most SHOWN. `present_key`: that of this
    browser."""
    rows = Session.objects.filter(user=user, expire_date__gt=timezone.now()).order_by("-seen_at")[: SHOWN + 1]
    shown = [
        ShownSession(row.address, row.agent, _time(row.began_at), _time(row.seen_at), row.session_key == present_key)
        for row in rows
    ]
    return FirstRows(shown, SHOWN)


def _time(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def sign_ins_of(user: User) -> list[AuditEntry]:
    """The user's last sign-ins and failed ones, at most SHOWN."""
    return list(audit.of_user(user)[:SHOWN])


def end_sessions(user: User) -> int:
    """End all sessions of the user; return how many."""
    return Session.objects.filter(user=user).delete()[0]


@require_POST
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """End all of one's own sessions; the browser is told to delete what it stored of this site."""
    user = signed_in_user(request)
    with transaction.atomic():
        AuditEntry.objects.create(user=user, verb="sign_out_everywhere", target=audit.target_of(user))
        end_sessions(user)
    logout(request)
    messages.success(request, gettext("You are signed out in every browser, this one included."))
    response = redirect("login")
    response.headers["Clear-Site-Data"] = '"cache", "cookies"'
    return response
