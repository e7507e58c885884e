"""The context of every page's frame: navigation with badges, role, warnings. Its cost is constant: one query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import DateTimeField, Exists, Func, IntegerField, QuerySet, Subquery
from django.db.models.expressions import BaseExpression
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mailbox import network, permissions
from mailbox.models import Quarantine, WorkerHeartbeat
from mailbox.models.accounts import AccountQuerySet
from mailbox.permissions import Role
from mailbox.views.account_list import in_trouble
from outbox.models import DeliveryReport, OutboxMessage, SendingSwitch
from outbox.models.messages import OutboxQuerySet
from outbox.models.reports import DeliveryReportQuerySet


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


def is_alive(seen_at: datetime | None) -> bool:
    """Whether a worker's heartbeat of this time is recent enough; False for None."""
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
    """The number of rows, or of distinct values of a field, as an expression, so that one query can have several."""
    number = Func(of, function="COUNT", template="%(function)s(DISTINCT %(expressions)s)")
    number = Func("pk", function="COUNT") if of == "pk" else number
    return Subquery(rows.order_by().annotate(_count=number).values("_count"), output_field=IntegerField())


def earliest(rows: QuerySet[Any], field: str) -> Subquery:
    """The earliest time in a field, as an expression; None without rows."""
    found = rows.order_by().annotate(_first=Func(field, function="MIN", output_field=DateTimeField()))
    return Subquery(found.values("_first"), output_field=DateTimeField())


class AllOf(Func):
    """The values of a JSON column as one list, as an expression for a Subquery; None without rows."""

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template="JSON_GROUP_ARRAY(JSON(%(expressions)s))", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template="JSONB_AGG(%(expressions)s)", **context)


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
    accounts = permissions.accounts_for(user)
    outbox, reports, quarantined = _needing_somebody(user, accounts)
    switch = SendingSwitch.objects.filter(pk=1)
    row = (
        User.objects.filter(pk=user.pk)
        .annotate(
            decisions=counted(outbox.needs_decision()),
            failed=counted(outbox.failed_for_good()),
            returned=counted(reports, "outbox_id"),
            unfetched=counted(quarantined),
            in_trouble=counted(accounts.filter(in_trouble())),
            operates=Exists(permissions.accounts_for(user, Role.OPERATOR)),
            paused_at=Subquery(switch.values("paused_at")),
            reason=Subquery(switch.values("reason")),
            worker_seen_at=Subquery(WorkerHeartbeat.objects.order_by("-seen_at").values("seen_at")[:1]),
            **more,
        )
        .values(*BADGES, "operates", "paused_at", "reason", "worker_seen_at", *more)
        .get()
    )
    return dict(row)


def _needing_somebody(
    user: User, accounts: AccountQuerySet
) -> tuple[OutboxQuerySet, DeliveryReportQuerySet, QuerySet[Quarantine]]:
    """The outbox rows, unacknowledged reports and quarantined messages that the user may see."""
    outbox, reports = OutboxMessage.objects.all(), DeliveryReport.objects.unacknowledged()
    quarantined = Quarantine.objects.open()
    if permissions.has_role_everywhere(user, Role.VIEWER):
        return outbox, reports, quarantined
    seen = accounts.values("pk")
    return outbox.whose(seen), reports.filter(outbox__account__in=seen), quarantined.filter(account__in=seen)


# The badges of the navigation: column -> (key of the section, words for the number).
BADGES = {
    "decisions": ("o", _("need a decision: %(number)s")),
    "failed": ("o", _("failed: %(number)s")),
    "returned": ("o", _("bounced or called unwanted, not seen yet: %(number)s")),
    "unfetched": ("m", _("could not be fetched or read: %(number)s")),
    "in_trouble": ("a", _("accounts in trouble: %(number)s")),
}


def _badges(known: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """key of the section -> (number on its badge, words for it)."""
    found: dict[str, tuple[int, str]] = {}
    for name, (key, words) in BADGES.items():
        if number := known[name]:
            count, title = found.get(key, (0, ""))
            said = str(words) % {"number": number}
            found[key] = (count + number, f"{title}, {said}" if title else said)
    return found


def _chrome(request: HttpRequest) -> dict[str, Any]:
    user = cast(User, request.user)
    known = facts(request)
    counts = _badges(known)
    return {
        "nav": _navigation(_shown_path(request), counts),
        "needs": sum(number for number, _title in counts.values()),
        "role": _role(user),
        "sending_paused": Paused(known["paused_at"], known["reason"]) if known["paused_at"] else None,
        "workers_gone": None if is_alive(known["worker_seen_at"]) else WorkersGone(known["worker_seen_at"]),
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
