"""Which outbox rows a person may see, filtered as the address says."""

from __future__ import annotations

from dataclasses import dataclass
from mailbox.access import Role, accounts_for, get_account
from mailbox.models import Account
from mailbox.views.asking import Refused, number_of, of_accounts

from django.db.models import Count, Exists, Max, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest
from django.utils.formats import number_format
from django.utils.translation import gettext

from outbox.filters import AGES, ERRORS, MARKS, Filters, NoSuchFilter
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage, SendingSwitch
from outbox.models.messages import OutboxQuerySet
from outbox.views.states import TABS, Tab

# Sent mail grows without end: its tab says "10,000+" instead of counting all of it on every look.
COUNTED_AT_MOST = 10_000


def read_filters(request: HttpRequest) -> Filters:
    """Raises Refused for what no list of the page offers."""
    number_of(request, "account")
    try:
        return Filters.of(request.GET.dict())
    except NoSuchFilter as refused:
        raise Refused(str(refused)) from refused


@dataclass(frozen=True)
class Chip:
    """One filter in words, and the address without it."""

    label: str
    query: str


def chips(filters: Filters, accounts: list[Account]) -> list[Chip]:
    email = next((account.email for account in accounts if account.pk == filters.account), gettext("an account"))
    reason = dict(OutboxMessage.Hold.choices).get(filters.reason, "")
    found = [
        ("text", filters.text, f"“{filters.text}”"),
        ("account", filters.account, email),
        ("reason", filters.reason, gettext("because %(reason)s") % {"reason": reason}),
        ("error", filters.error, gettext("Error: %(error)s") % {"error": ERRORS.get(filters.error, "")}),
        ("code", filters.code, gettext("Code %(code)s") % {"code": filters.code}),
        ("domain", filters.domain, gettext("To @%(domain)s") % {"domain": filters.domain}),
        ("age", filters.age, str(AGES[filters.age][0]) if filters.age else ""),
        ("mark", filters.mark, str(MARKS.get(filters.mark, ""))),
    ]
    empty: dict[str, object] = {"account": None}
    return [Chip(label, filters.query(**{name: empty.get(name, "")})) for name, is_set, label in found if is_set]


def seen_by(request: HttpRequest, role: str = Role.VIEWER) -> OutboxQuerySet:
    return of_accounts(OutboxMessage.objects.all(), request, role)  # type: ignore[return-value]


def listed(rows: OutboxQuerySet) -> OutboxQuerySet:
    """For a list: with the account and the number of attempts, without bodies."""
    last = DeliveryAttempt.objects.filter(outbox=OuterRef("pk")).order_by().values("outbox")
    tries = Coalesce(Subquery(last.annotate(last=Max("number")).values("last")), 0)
    newest = DeliveryAttempt.objects.filter(outbox=OuterRef("pk")).order_by("-number")
    return (
        rows.select_related("account__smtp")
        .defer("body_text", "body_html")
        .annotate(
            tries=tries,
            drill=Coalesce(Subquery(newest.values("failure_mode")[:1]), Value("")),
            bounced=Exists(DeliveryReport.objects.bounces().filter(outbox=OuterRef("pk"))),
        )
    )


def find_row(request: HttpRequest, pk: int, role: str = Role.VIEWER) -> OutboxMessage:
    """The row, when the user may see its account (else Http404) and has the role (else PermissionDenied)."""
    found = listed(seen_by(request).filter(pk=pk)).defer(None).select_related("account__imap", "sent_copy")
    switch = SendingSwitch.objects.filter(pk=1, paused_at__isnull=False)
    row = found.annotate(all_paused=Exists(switch)).first()
    if row is None:
        raise Http404("No such mail in the outbox.")
    if role != Role.VIEWER:
        row.account = get_account(request.user, row.account_id, role)
    return row


def operated_accounts(request: HttpRequest) -> set[int]:
    return set(accounts_for(request.user, Role.OPERATOR).values_list("pk", flat=True))


def visible_accounts(request: HttpRequest) -> list[Account]:
    return list(accounts_for(request.user).order_by("email"))


@dataclass(frozen=True)
class CountedTab:
    tab: Tab | None  # None: all states
    label: str
    count: str
    query: str
    current: bool


def count_tabs(rows: OutboxQuerySet, filters: Filters) -> list[CountedTab]:
    """The tabs with their counts: one query for the states that empty themselves, one each for the two that grow."""
    open_rows = rows.filter(status__in=["pending", "sending", "failed"]).order_by()
    groups = list(open_rows.values_list("status", "hold").annotate(Count("pk")))
    counts = {tab.name: 0 for tab in TABS}
    for status, hold, number in groups:
        counts[_tab_name(status, hold)] += number
    tabs = [CountedTab(None, gettext("All"), "", filters.query(state=""), not filters.state)]
    for tab in TABS:
        text = (
            _cut_count(getattr(rows, tab.name)())
            if tab.is_final
            else number_format(counts[tab.name], force_grouping=True)
        )
        tabs.append(CountedTab(tab, str(tab.label), text, filters.query(state=tab.name), filters.state == tab.name))
    return tabs


def _tab_name(status: str, hold: str) -> str:
    if status != "failed":
        return {"pending": "queued", "sending": "sending"}[status]
    return {"": "retrying", "uncertain": "needs_decision"}.get(hold, "failed_for_good")


def _cut_count(rows: OutboxQuerySet) -> str:
    number = rows.order_by()[: COUNTED_AT_MOST + 1].count()
    shown = number_format(min(number, COUNTED_AT_MOST), force_grouping=True)
    return f"{shown}+" if number > COUNTED_AT_MOST else shown
