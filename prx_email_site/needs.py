"""How much needs a person: the numbers on the navigation, in the tab's title and above the dashboard's "Needs you".

`columns` are expressions of the frame's one query, `numbers` reads them. The dashboard says the same things in
sentences (`dashboard.attention`); a test makes each of them and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import BaseExpression
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models import AlertIncident, Kind
from mailbox import permissions
from mailbox.accounts.needing import in_trouble
from mailbox.db.moments import Now
from mailbox.localized import grouped, listed
from mailbox.models import Account, OAuthGrant, PushHeartbeat, Quarantine, RestoreProof, WorkerHeartbeat
from mailbox.models.accounts import AccountQuerySet
from mailbox.models.installation_health import DISK_FREE_PERCENT
from mailbox.permissions import Role
from outbox.models import DeliveryReport, OutboxMessage, SendingSwitch
from prx_email_site.subqueries import counted

# Name -> (key of the section that says it, words for the number).
BADGES = {
    "workers": ("d", _("no worker is running")),
    "hosts": ("d", _("hosts with a fault: %(number)s")),
    "restore": ("d", _("the last backup cannot be restored")),
    "push": ("d", _("push is not running")),
    "paused": ("d", _("all sending is paused")),
    "providers": ("d", _("sign-in providers that refuse this site: %(number)s")),
    "incidents": ("d", _("other alerts: %(number)s")),
    "decisions": ("o", _("need a decision: %(number)s")),
    "failed": ("o", _("failed: %(number)s")),
    "returned": ("o", _("bounced or called unwanted, not seen yet: %(number)s")),
    "unfetched": ("m", _("could not be fetched or read: %(number)s")),
    "in_trouble": ("a", _("accounts in trouble or paused: %(number)s")),
}

# Of these the dashboard knows by their incidents, which the alerts process writes: it finds the rest itself.
OF_INCIDENTS = (Kind.SCHEDULES, Kind.LATE, Kind.EVENTS, Kind.ENDING, Kind.INCOMPLETE)
KEYS = ("restore:old",)


def is_alive(seen_at: datetime | None) -> bool:
    """Whether a worker's heartbeat of this time is recent enough; False for None."""
    return seen_at is not None and WorkerHeartbeat.is_recent(seen_at, timezone.now())


def columns(user: User, accounts: AccountQuerySet) -> Mapping[str, BaseExpression]:
    """The expressions for `numbers`. `accounts`: those the user may see."""
    if permissions.has_role_everywhere(user, Role.VIEWER):
        return _of_all(permissions.has_role_everywhere(user, Role.ADMINISTRATOR))
    return _columns(accounts, accounts.values("pk"), administers=False)


@cache
def _of_all(administers: bool) -> Mapping[str, BaseExpression]:
    """For users who see all accounts. Kept, since to build the expressions takes longer than the query itself."""
    return _columns(Account.objects.all(), None, administers=administers)


def _columns(
    accounts: AccountQuerySet, seen: QuerySet[Any] | None, *, administers: bool
) -> Mapping[str, BaseExpression]:
    now = cast(datetime, Now())
    push_wanted = accounts.filter(push_enabled=True, sync_enabled=True, imap__needs_sign_in_since=None)
    refused = OAuthGrant.objects.filter(failure=OAuthGrant.Failure.APP)
    return {
        **_of_mail(seen),
        "in_trouble": counted(accounts.filter(in_trouble(now) | Q(sending_paused_at__isnull=False))),
        "has_accounts": Exists(accounts),
        "hosts": counted(_hosts(now), "host"),
        "restore_fault": Subquery(RestoreProof.objects.order_by("-pk").values("fault")[:1]),
        "wants_push": Exists(push_wanted),
        "has_push": Exists(PushHeartbeat.objects.alive(now)),
        "providers": counted(refused if administers else refused.none(), "app_id"),
        "incidents": counted(_incidents(accounts.values("pk"), administers=administers)),
        "paused_at": Subquery(SendingSwitch.objects.filter(pk=1).values("paused_at")),
        "worker_seen_at": Subquery(WorkerHeartbeat.objects.not_ahead(now).order_by("-seen_at").values("seen_at")[:1]),
    }


def _of_mail(seen: QuerySet[Any] | None) -> dict[str, BaseExpression]:
    """Of the outbox, of delivery reports and of the quarantine. seen: pks of the user's accounts; None: all."""
    outbox, reports = OutboxMessage.objects.all(), DeliveryReport.objects.unacknowledged()
    quarantined = Quarantine.objects.open()
    if seen is not None:
        outbox, quarantined = outbox.whose(seen), quarantined.filter(account__in=seen)
        reports = reports.whose(seen)
    return {
        "decisions": counted(outbox.needs_decision()),
        "failed": counted(outbox.failed_for_good()),
        "returned": counted(reports, "outbox_id"),
        "unfetched": counted(quarantined),
    }


def _hosts(now: datetime) -> QuerySet[WorkerHeartbeat]:
    """Heartbeats of hosts that are silent, or that cannot reach their store, broker or disk, or lack room on it."""
    alive = WorkerHeartbeat.objects.alive(now)
    faulty = Q(store_failed_since__isnull=False) | Q(broker_away_since__isnull=False)
    faulty |= Q(fetching_stopped_since__isnull=False) | Q(disk_free_percent__lt=DISK_FREE_PERCENT)
    return WorkerHeartbeat.objects.filter(
        Q(pk__in=alive.filter(faulty).values("pk")) | ~Exists(alive.filter(host=OuterRef("host")))
    )


def incidents_for(user: User, accounts: AccountQuerySet) -> QuerySet[AlertIncident]:
    """The open incidents that the user may see and that the dashboard says by no line of its own."""
    return _incidents(accounts.values("pk"), administers=permissions.has_role_everywhere(user, Role.ADMINISTRATOR))


def _incidents(seen: QuerySet[Any], *, administers: bool) -> QuerySet[AlertIncident]:
    rows = AlertIncident.objects.open().filter(absent_since=None)
    rows = rows.filter(Q(kind__in=OF_INCIDENTS) | Q(key__in=KEYS) | Q(key__startswith="store-miss:"))
    return rows if administers else rows.filter(account__in=seen)


def numbers(known: Mapping[str, Any]) -> dict[str, int]:
    """Name of a badge -> its number. `known`: the values of `columns`.

    Without accounts nothing needs the user: the site's faults are counted for those whose mail they hold up.
    """
    works, has_accounts = is_alive(known["worker_seen_at"]), bool(known["has_accounts"])
    push_is_missed = settings.PUSH_ENABLED and works and known["wants_push"] and not known["has_push"]
    faults = {
        "workers": not works,
        "hosts": known["hosts"] if works else 0,
        "restore": bool(known["restore_fault"]),
        "push": push_is_missed,
        "paused": known["paused_at"] is not None,
        "providers": known["providers"],
        "incidents": known["incidents"],
    }
    return {name: int(faults[name]) * has_accounts if name in faults else known[name] for name in BADGES}


def badges(known: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    """Key of a section -> (number on its badge, words for it). `known`: the values of `columns`."""
    found: dict[str, tuple[int, str]] = {}
    for name, number in numbers(known).items():
        if number:
            key, words = BADGES[name]
            count, title = found.get(key, (0, ""))
            said = str(words) % {"number": grouped(number)}
            found[key] = (count + number, listed([title, said]) if title else said)
    return found
