"""What every page's frame shows: kept to constant cost, as it runs for each page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import DateTimeField, Exists, Func, IntegerField, QuerySet, Subquery
from django.db.models.expressions import BaseExpression
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox import permissions
from mailbox.models import WorkerHeartbeat
from mailbox.permissions import Role
from outbox.models import OutboxMessage, SendingSwitch


@dataclass(frozen=True)
class NavItem:
    label: str
    url: str
    key: str  # what "g" and this key go to: see keyboard.js
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
    """That no worker runs, and when one was last seen: what a page promises then waits."""

    seen_at: datetime | None


def is_alive(seen_at: datetime | None) -> bool:
    return seen_at is not None and WorkerHeartbeat.is_recent(seen_at, timezone.now())


SECTIONS = (
    (_("Dashboard"), "dashboard", "d"),
    (_("Messages"), "mailbox:messages", "m"),
    (_("Outbox"), "outbox:list", "o"),
    (_("Attachments"), "outbox:attachments", "f"),
    (_("Accounts"), "mailbox:accounts", "a"),
)


def _navigation(path: str, counts: dict[str, tuple[int, str]]) -> list[NavItem]:
    urls = [(str(label), reverse(name), key) for label, name, key in SECTIONS]
    within = [url for _label, url, _key in urls if path == url or (url != "/" and path.startswith(url))]
    best = max(within, key=len, default="")
    return [NavItem(label, url, key, url == best, *counts.get(key, (0, ""))) for label, url, key in urls]


def _role(user: User) -> str:
    if user.is_superuser:
        return gettext("administrator of everything")
    for role in reversed(permissions.ROLES):
        if permissions.has_role_everywhere(user, role):
            return gettext("%(role)s of all accounts") % {"role": role.label}
    return gettext("access to some accounts")


def counted(rows: QuerySet[Any], of: str = "pk") -> Subquery:
    """How many rows, or different values of a field, as an expression: several such counts go into one query."""
    number = Func(of, function="COUNT", template="%(function)s(DISTINCT %(expressions)s)")
    number = Func("pk", function="COUNT") if of == "pk" else number
    return Subquery(rows.order_by().annotate(_count=number).values("_count"), output_field=IntegerField())


def earliest(rows: QuerySet[Any], field: str) -> Subquery:
    """The first of these times, as an expression; None without rows."""
    found = rows.order_by().annotate(_first=Func(field, function="MIN", output_field=DateTimeField()))
    return Subquery(found.values("_first"), output_field=DateTimeField())


def facts(request: HttpRequest, **more: BaseExpression) -> dict[str, Any]:
    """Everything the frame asks the database, in one query around the user's own row; asked once a request.

    A view that asks first gets `more` of its own in the same query.
    """
    kept: dict[str, Any] | None = getattr(request, "_frame_facts", None)
    if kept is None or more:
        kept = _facts(cast(User, request.user), more)
        request._frame_facts = kept  # type: ignore[attr-defined]
    return kept


def _facts(user: User, more: Mapping[str, BaseExpression]) -> dict[str, Any]:
    accounts = permissions.accounts_for(user)
    decisions = OutboxMessage.objects.needs_decision()
    if not permissions.has_role_everywhere(user, Role.VIEWER):
        decisions = decisions.filter(account__in=accounts)
    switch = SendingSwitch.objects.filter(pk=1)
    row = (
        User.objects.filter(pk=user.pk)
        .annotate(
            decisions=counted(decisions),
            sign_ins=counted(accounts.needing_sign_in()),
            operates=Exists(permissions.accounts_for(user, Role.OPERATOR)),
            paused_at=Subquery(switch.values("paused_at")),
            reason=Subquery(switch.values("reason")),
            worker_seen_at=Subquery(WorkerHeartbeat.objects.order_by("-seen_at").values("seen_at")[:1]),
            **more,
        )
        .values("decisions", "sign_ins", "operates", "paused_at", "reason", "worker_seen_at", *more)
        .get()
    )
    return dict(row)


def _chrome(request: HttpRequest) -> dict[str, Any]:
    user = cast(User, request.user)
    known = facts(request)
    counts = {
        "o": (known["decisions"], gettext("need a decision")),
        "a": (known["sign_ins"], gettext("need sign-in")),
    }
    return {
        "nav": _navigation(request.path, counts),
        "role": _role(user),
        "sending_paused": Paused(known["paused_at"], known["reason"]) if known["paused_at"] else None,
        "workers_gone": None if is_alive(known["worker_seen_at"]) else WorkersGone(known["worker_seen_at"]),
        "may_administer": permissions.has_role_everywhere(user, Role.ADMINISTRATOR),
        # As has_role_somewhere says: the role for all accounts counts even before there is one.
        "may_operate": known["operates"] or permissions.has_role_everywhere(user, Role.OPERATOR),
    }


def chrome(request: HttpRequest) -> dict[str, Any]:
    """Lazy: partial updates and pages without a frame ask nothing of the database."""
    return {"chrome": SimpleLazyObject(lambda: _chrome(request))}
