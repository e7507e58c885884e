"""The context of every page's frame: navigation with badges, role, warnings. Its cost is constant: one query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import Exists, Subquery
from django.db.models.expressions import BaseExpression
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mailbox import network, permissions
from mailbox.permissions import Role
from outbox.models import SendingSwitch
from prx_email_site import needs


@dataclass(frozen=True)
class NavItem:
    """A section of the navigation, and the number in its badge."""

    label: str
    url: str
    key: str  # "g" and this key go to the section: see keyboard.js
    current: bool
    count: int = 0
    count_title: str = ""


@dataclass(frozen=True)
class Paused:
    """That all sending is paused, since when and why."""

    paused_at: datetime
    reason: str


@dataclass(frozen=True)
class WorkersGone:
    """That no worker runs, so that queued tasks wait; and when one was last seen."""

    seen_at: datetime | None


# Pages whose addresses begin otherwise, and the section that their crumbs lead to.
WITHIN = {
    "charts": "dashboard",
    "mailbox:quarantine": "mailbox:messages",
    "mailbox:exports": "mailbox:messages",
    "mailbox:activity": "mailbox:accounts",
    "mailbox:stored_mail": "mailbox:accounts",
    "mailbox:providers": "mailbox:accounts",
}
SECTIONS = (
    (_("Dashboard"), "dashboard", "d"),
    (_("Messages"), "mailbox:messages", "m"),
    (_("Outbox"), "outbox:list", "o"),
    (_("Attachments"), "outbox:attachments", "f"),
    (_("Accounts"), "mailbox:accounts", "a"),
)


def _navigation(path: str, counts: dict[str, tuple[int, str]]) -> list[NavItem]:
    sections = [(str(label), name, key) for label, name, key in SECTIONS]
    beginnings = {reverse(name): WITHIN.get(name, name) for name in (*(name for _, name, _ in sections), *WITHIN)}
    within = [url for url in beginnings if path == url or (url != "/" and path.startswith(url))]
    shown = beginnings.get(max(within, key=len, default=""))
    return [
        NavItem(label, reverse(name), key, name == shown, *counts.get(key, (0, ""))) for label, name, key in sections
    ]


def _role(user: User) -> str:
    if user.is_superuser:
        return gettext("administrator of everything")
    for role in reversed(permissions.ROLES):
        if permissions.has_role_everywhere(user, role):
            return gettext("%(role)s of all accounts") % {"role": role.label}
    return gettext("access to some accounts")


def facts(request: HttpRequest, **more: BaseExpression) -> dict[str, Any]:
    """All values that the frame needs from the database, by one query on the user's row; cached for the request.

    A view that calls this before the frame may add its own expressions (`more`) to the query.
    """
    kept: dict[str, Any] | None = getattr(request, "_frame_facts", None)
    if kept is None or more:
        kept = _facts(cast(User, request.user), more)
        request._frame_facts = kept  # type: ignore[attr-defined]
    return kept


def _facts(user: User, more: Mapping[str, BaseExpression]) -> dict[str, Any]:
    columns = {
        **needs.columns(user, permissions.accounts_for(user)),
        "operates": Exists(permissions.accounts_for(user, Role.OPERATOR)),
        "reason": Subquery(SendingSwitch.objects.filter(pk=1).values("reason")),
        **more,
    }
    return dict(User.objects.filter(pk=user.pk).annotate(**columns).values(*columns).get())


def _chrome(request: HttpRequest) -> dict[str, Any]:
    user = cast(User, request.user)
    known = facts(request)
    counts = needs.badges(known)
    return {
        "nav": _navigation(_shown_path(request), counts),
        "needs": sum(number for number, _title in counts.values()),
        "role": _role(user),
        "sending_paused": Paused(known["paused_at"], known["reason"]) if known["paused_at"] else None,
        "workers_gone": None if needs.is_alive(known["worker_seen_at"]) else WorkersGone(known["worker_seen_at"]),
        "may_administer": permissions.has_role_everywhere(user, Role.ADMINISTRATOR),
        # As has_role_somewhere(): the role for all accounts counts even if there is no account.
        "may_operate": known["operates"] or permissions.has_role_everywhere(user, Role.OPERATOR),
    }


def _shown_path(request: HttpRequest) -> str:
    """The path of the shown page; for the fragment with new badges, that of the page that requested it."""
    return request.GET.get("at", "") if request.path == reverse("badges") else request.path


@require_safe
def badges(request: HttpRequest) -> HttpResponse:
    """The navigation's links with their badges, which open pages poll; `?at=` is the page's path."""
    return render(request, "_nav.html")


def chrome(request: HttpRequest) -> dict[str, Any]:
    """The context processor. It is lazy, so that partial updates and pages without a frame make no query."""
    return {"chrome": SimpleLazyObject(lambda: _chrome(request)), "network_is_off": network.is_off()}
