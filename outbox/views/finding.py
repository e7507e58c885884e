"""Which outbox rows a person may see, filtered as the address says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from mailbox.access import Role, accounts_for, get_account
from mailbox.models import Account
from mailbox.views.asking import Refused, number_of, of_accounts
from urllib.parse import urlencode

from django.db.models import Count, Exists, Max, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest
from django.utils import timezone

from outbox.bounces import bounced
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxMessage
from outbox.models.messages import OutboxQuerySet
from outbox.views.states import TAB_BY_NAME, TABS, Tab

# Sent mail grows without end: its tab says "10,000+" instead of counting all of it on every look.
COUNTED_AT_MOST = 10_000
TEXT_LIMIT = 200
MARKS = {"bounced": "Bounced", "unseen": "Bounced, not seen", "scheduled": "Scheduled", "drill": "Drills"}


_of_row = Q(outbox=OuterRef("pk"))


@dataclass(frozen=True)
class Filters:
    """What the address asks for. Every part of it is kept in links, so that a page can be passed on."""

    state: str = ""
    account: int | None = None
    reason: str = ""
    text: str = ""
    mark: str = ""

    @classmethod
    def read(cls, request: HttpRequest) -> Filters:
        """Raises Refused for a state or reason that does not exist."""
        state, reason = request.GET.get("state", ""), request.GET.get("reason", "")
        if state and state not in TAB_BY_NAME:
            raise Refused(f"The outbox has no state “{state[:40]}”. Choose one of its tabs.")
        if reason and reason not in OutboxMessage.Hold.values:
            raise Refused(f"There is no reason “{reason[:40]}”. Choose one from the list.")
        mark = request.GET.get("mark", "")
        if mark and mark not in MARKS:
            raise Refused(f"There is no mark “{mark[:40]}”. Choose one from the list.")
        text = request.GET.get("q", "").replace("\0", "").strip()[:TEXT_LIMIT]
        return cls(state, number_of(request, "account"), reason, text, mark)

    def query(self, **changes: str) -> str:
        """The address's query for these filters, with changes."""
        wanted = replace(self, **changes)  # type: ignore[arg-type]
        pairs = {"state": wanted.state, "account": wanted.account, "reason": wanted.reason, "q": wanted.text}
        pairs["mark"] = wanted.mark
        return urlencode({name: value for name, value in pairs.items() if value})

    def narrow(self, rows: OutboxQuerySet) -> OutboxQuerySet:
        """All filters but the state, which the tabs are."""
        if self.account:
            rows = rows.filter(account=self.account)
        if self.reason:
            rows = rows.filter(hold=self.reason)
        if self.mark == "bounced":
            rows = rows.filter(bounced())
        elif self.mark == "unseen":
            rows = rows.filter(pk__in=DeliveryReport.objects.unacknowledged().values("outbox"))
        elif self.mark == "drill":
            rows = rows.filter(
                Q(failure_mode__gt="") | Exists(DeliveryAttempt.objects.filter(_of_row, failure_mode__gt=""))
            )
        elif self.mark == "scheduled":
            rows = rows.filter(status="pending", send_at__gt=timezone.now())
        if self.text:
            words = (Q(**{f"{name}__icontains": self.text}) for name in ("subject", "to", "cc", "bcc"))
            rows = rows.filter(next(words) | next(words) | next(words) | next(words))
        return rows

    def of_state(self, rows: OutboxQuerySet) -> OutboxQuerySet:
        return getattr(rows, self.state)() if self.state else rows


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
    row = listed(seen_by(request).filter(pk=pk)).defer(None).first()
    if row is None:
        raise Http404("No such mail in the outbox.")
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
    tabs = [CountedTab(None, "All", "", filters.query(state=""), not filters.state)]
    for tab in TABS:
        text = _cut_count(getattr(rows, tab.name)()) if tab.is_final else f"{counts[tab.name]:,}"
        tabs.append(CountedTab(tab, tab.label, text, filters.query(state=tab.name), filters.state == tab.name))
    return tabs


def _tab_name(status: str, hold: str) -> str:
    if status != "failed":
        return {"pending": "queued", "sending": "sending"}[status]
    return {"": "retrying", "uncertain": "needs_decision"}.get(hold, "failed_for_good")


def _cut_count(rows: OutboxQuerySet) -> str:
    number = rows.order_by()[: COUNTED_AT_MOST + 1].count()
    return f"{COUNTED_AT_MOST:,}+" if number > COUNTED_AT_MOST else f"{number:,}"
