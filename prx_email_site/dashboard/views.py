"""The dashboard and the charts page, with data of both apps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, JSONField, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_safe

from mailbox.localized import grouped
from mailbox.models import Counter, Folder, PushHeartbeat, Quarantine, RestoreProof, SyncRunFolder, WorkerHeartbeat
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from mailbox.views.accounts.account_row import AccountRow
from mailbox.views.accounts.accounts import is_partial, rows_of
from mailbox.views.reading.latest_per_account import of_some
from mailbox.views.requests import of_accounts, signed_in_user
from outbox import restored_mail
from outbox.actions.filters import OutboxFilters
from outbox.models import DeliveryReport, OutboxMessage
from outbox.models.messages import OutboxQuerySet
from outbox.views.visible_rows import newest_rows
from prx_email_site import needs
from prx_email_site.context_processors import facts
from prx_email_site.dashboard import attention, chart, figures, incidents, providers
from prx_email_site.subqueries import AllOf, counted, earliest

TONES = ("broken", "needs", "waiting", "fine")  # worst first
MOST_CLUSTERS = 200  # heartbeats of clusters to read
# (status, hold) of rows that are not sent or cancelled.
OPEN = (("pending", ""), ("sending", ""), ("failed", ""), *(("failed", hold) for hold in OutboxMessage.Hold.values))


@dataclass(frozen=True)
class StateCount:
    """One state of the outbox: number of mails, and the time of the oldest."""

    label: str
    tone: str
    count: int
    oldest: datetime | None
    url: str


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """The dashboard; for htmx the part that changes."""
    period = chart.period_named(request.GET.get("period", ""))
    context = _board(request, period)
    return render(request, "_dashboard.html" if is_partial(request) else "dashboard.html", context)


def _board(request: HttpRequest, period: chart.Period) -> dict[str, Any]:
    now, user = timezone.now(), signed_in_user(request)
    may_administer = has_role_everywhere(user, Role.ADMINISTRATOR)
    heartbeats = list(WorkerHeartbeat.objects.order_by("-seen_at")[:MOST_CLUSTERS])
    alive = [beat for beat in heartbeats if WorkerHeartbeat.is_recent(beat.seen_at, now)]
    rows = rows_of(request, accounts_for(user).order_by("email"), workers_alive=bool(alive))
    rows.sort(key=lambda row: TONES.index(row.worst.tone))  # worst first, as the panel shows only some; then by address
    if not rows:
        return {"rows": rows, "may_add": may_administer, "period": period}
    outbox = OutboxMessage.objects.all()
    if not has_role_everywhere(user, Role.VIEWER):
        outbox = outbox.whose(accounts_for(user).values("pk"))
    known = _facts(request, outbox)
    states, held = _outbox_states(outbox, known)
    return {
        "rows": rows,
        "period": period,
        "periods": chart.PERIODS,
        "needs": _needs(request, outbox, known, rows, heartbeats, held),
        "tones": _tally(rows),
        "lag": _lag(rows),
        "states": states,
        "workers": alive,
        **_push(known),
        "wants_push": settings.PUSH_ENABLED and known["wants_push"],
        "proven_at": known["proven_at"],
        "proven_missing": known["proven_missing"],
        "paused_at": known["paused_at"],
        "may_administer": may_administer,
        "chart": chart.drawn(of_accounts(Counter.objects.all(), request), period, now),
        "runs": of_accounts(SyncRunFolder.objects.select_related("run", "account"), request).order_by("-pk")[:8],
    }


def _needs(
    request: HttpRequest,
    outbox: OutboxQuerySet,
    known: dict[str, Any],
    rows: list[AccountRow],
    heartbeats: list[WorkerHeartbeat],
    held: dict[str, tuple[int, datetime | None]],
) -> list[attention.Need]:
    """The lines of "Needs you". prx_email_site.needs counts the same."""
    now, user = timezone.now(), signed_in_user(request)
    may_administer = has_role_everywhere(user, Role.ADMINISTRATOR)
    alive = [beat for beat in heartbeats if WorkerHeartbeat.is_recent(beat.seen_at, now)]
    last_seen = next((beat.seen_at for beat in heartbeats if beat.seen_at <= now), None)  # not by a wrong clock
    return [
        *attention.of_workers(bool(alive), last_seen, may_administer=may_administer),
        *attention.of_hosts(heartbeats, alive),
        *attention.of_restore(known["tried_at"], known["tried_fault"] or ""),
        *attention.of_push(
            known["push_seen_at"], is_missed=bool(needs.numbers(known)["push"]), may_administer=may_administer
        ),
        *attention.of_switch(known["paused_at"], known["reason"] or "", may_administer=may_administer),
        *providers.of_providers(known["providers"]),
        *attention.sign_ins(rows),
        *attention.of_outbox(outbox, held, known["restored"]),
        *attention.of_bounces(known["bounced"], known["bounced_since"]),
        *attention.of_complaints(known["complained"], known["complained_since"]),
        *attention.of_accounts(rows, workers_alive=bool(alive)),
        *attention.of_quarantine(known["quarantined"], known["quarantined_since"]),
        *incidents.of_incidents(needs.incidents_for(user, accounts_for(user)), known["incidents"]),
    ]


@require_safe
def charts(request: HttpRequest) -> HttpResponse:
    """The charts page: accounts by outcome, how long sending takes, how far syncs lag."""
    period, now = chart.period_named(request.GET.get("period", "")), timezone.now()
    start = chart.starts_of(period, now, period.steps)[0]
    counters = of_accounts(Counter.objects.all(), request)
    wanted = of_some(request, list(accounts_for(request.user)))
    sent, _end = newest_rows(OutboxFilters(state="sent"), wanted, now, None, figures.MAILS_LOOKED_AT)
    outbox = OutboxMessage.objects.all()
    named, rest = figures.by_account(counters, outbox if wanted is None else outbox.whose(wanted), start)
    fetched = of_accounts(Folder.objects.chosen().filter(account__sync_enabled=True), request)
    context = {
        "period": period,
        "periods": chart.PERIODS,
        "chart": chart.drawn(counters, period, now),
        "accounts": named,
        "other_accounts": rest,
        "waits": figures.waits(sent, start),
        "lags": figures.lags(fetched, now),
        "mails_looked_at": figures.MAILS_LOOKED_AT,
    }
    return render(request, "charts.html", context)


def _facts(request: HttpRequest, outbox: OutboxQuerySet) -> dict[str, Any]:
    """Values of one row each, read in the query that each page makes for its user anyway."""
    unseen = DeliveryReport.objects.unacknowledged()
    if not has_role_everywhere(request.user, Role.VIEWER):
        unseen = unseen.whose(accounts_for(request.user, Role.VIEWER))
    bounces, complaints = unseen.bounces(), unseen.complaints()
    quarantined = of_accounts(Quarantine.objects.open(), request)
    push = PushHeartbeat.objects.alive(timezone.now()).order_by()
    tried = RestoreProof.objects.order_by("-pk")
    proven = tried.filter(fault="")
    return facts(
        request,
        bounced=counted(bounces, "outbox_id"),
        bounced_since=earliest(bounces, "reported_at"),
        complained=counted(complaints, "outbox_id"),
        complained_since=earliest(complaints, "reported_at"),
        quarantined=counted(quarantined),
        quarantined_since=earliest(quarantined, "first_failed_at"),
        tried_at=Subquery(tried.values("proven_at")[:1]),
        tried_fault=Subquery(tried.values("detail")[:1]),
        proven_at=Subquery(proven.values("proven_at")[:1]),
        proven_missing=Subquery(proven.values("missing")[:1]),
        push_seen_at=Subquery(PushHeartbeat.objects.order_by("-seen_at").values("seen_at")[:1]),
        push_states=Subquery(push.annotate(_all=AllOf("states")).values("_all"), output_field=JSONField()),
        restored=counted(outbox.needs_decision().filter(error=restored_mail.WORDS)),
        **{f"oldest_{status}_{hold}": _oldest(outbox, status, hold) for status, hold in OPEN},
    )


def _oldest(outbox: OutboxQuerySet, status: str, hold: str) -> Subquery:
    """The time of the oldest mail in this state: of the row with the lowest pk, by an index, rather than a minimum."""
    return Subquery(outbox.filter(status=status, hold=hold).order_by("pk").values("created_at")[:1])


def _push(known: dict[str, Any]) -> dict[str, Any]:
    """The number of accounts with push, over all push processes, by state."""
    found: list[dict[str, str]] = known["push_states"] or []
    return {
        "push": found,
        "push_seen_at": known["push_seen_at"],
        "push_inboxes": sum(map(len, found)),
        "push_connected": sum(list(states.values()).count("connected") for states in found),
    }


def _tally(rows: list[AccountRow]) -> list[tuple[str, str]]:
    """(tone, "3 broken"), worst first: how many accounts are in each tone."""
    worst = [row.worst.tone for row in rows]
    return [(tone, _counted(tone, worst.count(tone))) for tone in TONES if tone in worst]


def _counted(tone: str, number: int) -> str:
    words = {
        "broken": ngettext("%(number)s broken", "%(number)s broken", number),
        "needs": ngettext("%(number)s needs you", "%(number)s need you", number),
        "waiting": ngettext("%(number)s waiting", "%(number)s waiting", number),
        "fine": ngettext("%(number)s fine", "%(number)s fine", number),
    }
    return words[tone] % {"number": grouped(number)}


def _lag(rows: list[AccountRow]) -> AccountRow | None:
    """The account whose sync is furthest behind; an account that was never synced counts as the furthest."""
    fetched = [row for row in rows if row.account.sync_enabled]
    never = [row for row in fetched if row.up_to_date_at is None]
    if never or not fetched:
        return never[0] if never else None
    return min(fetched, key=lambda row: row.up_to_date_at or timezone.now())


def _outbox_states(
    outbox: OutboxQuerySet, known: dict[str, Any]
) -> tuple[list[StateCount], dict[str, tuple[int, datetime | None]]]:
    """(unsent mail by state, number and oldest by hold). Sent mail is not counted, as it grows without limit."""
    open_rows = outbox.filter(status__in=["pending", "sending", "failed"]).order_by()
    groups = open_rows.values_list("status", "hold").annotate(Count("pk"))
    held: dict[str, tuple[int, datetime | None]] = {}
    found: dict[str, tuple[int, datetime | None]] = {}
    for status, hold, number in groups:
        since: datetime | None = known[f"oldest_{status}_{hold}"]
        if hold:
            held[hold] = (number, since)
        state = _state(status, hold)
        count, oldest = found.get(state, (0, None))
        moments = [moment for moment in (oldest, since) if moment]
        found[state] = (count + number, min(moments) if moments else None)
    tabs = reverse("outbox:list")
    labels = (
        ("queued", gettext("queued"), "waiting"),
        ("sending", gettext("sending"), "waiting"),
        ("retrying", gettext("retrying"), "waiting"),
        ("needs_decision", gettext("needs a decision"), "needs"),
        ("failed_for_good", gettext("failed"), "broken"),
    )
    return [
        StateCount(label, tone if found.get(key) else "fine", *found.get(key, (0, None)), f"{tabs}?state={key}")
        for key, label, tone in labels
    ], held


def _state(status: str, hold: str) -> str:
    if status != OutboxMessage.Status.FAILED:
        return "queued" if status == OutboxMessage.Status.PENDING else "sending"
    if hold == OutboxMessage.Hold.UNCERTAIN:
        return "needs_decision"
    return "failed_for_good" if hold else "retrying"
