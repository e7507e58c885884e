"""The outbox rows that a user may see, filtered by the URL's query, and the counts of the tabs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Count, Exists, IntegerField, Max, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from mailbox.localized import grouped
from mailbox.models import Account, WorkerHeartbeat
from mailbox.permissions import Role, accounts_for, get_account, has_role_everywhere
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.requests import Refused, number_of, of_accounts
from outbox import tab_counts
from outbox.actions.filters import AGES, ERRORS, MARKS, NoSuchFilter, OutboxFilters
from outbox.models import DeliveryAttempt, DeliveryReport, OutboxCount, OutboxMessage, OutboxRecipient, SendingSwitch
from outbox.models.messages import OutboxQuerySet
from outbox.tab_counts import StoredCount
from outbox.views.status import TABS, OutboxTab

# Sent mail grows without end: beyond this number its tab shows the count of the periodic task or, with further filters,
# "10,000+".
COUNTED_AT_MOST = 10_000
OPEN_STATES = ("queued", "sending", "retrying", "needs_decision", "failed_for_good")
LOOKED_AT = 100_000  # rows that one page searches for a text; takes about 70 ms


def read_filters(request: HttpRequest) -> OutboxFilters:
    """The filters in the query. Raises Refused for invalid ones."""
    number_of(request, "account")
    try:
        return replace(OutboxFilters.of(request.GET.dict()), among=())
    except NoSuchFilter as refused:
        raise Refused(str(refused)) from refused


@dataclass(frozen=True)
class Chip:
    """One active filter in words, and the URL without it."""

    label: str
    query: str


def chips(filters: OutboxFilters, accounts: list[Account]) -> list[Chip]:
    """The active filters, without the state. `accounts`: those that the user may see; another one is not named."""
    email = next((account.email for account in accounts if account.pk == filters.account), gettext("an account"))
    reason = dict(OutboxMessage.Hold.choices).get(filters.reason, "")
    found = [
        ("text", filters.text, f"“{filters.text}”"),
        ("account", filters.account, email),
        ("reason", filters.reason, gettext("because %(reason)s") % {"reason": reason}),
        ("error", filters.error, gettext("Error: %(error)s") % {"error": ERRORS.get(filters.error, "")}),
        ("code", filters.code, gettext("Code %(code)s") % {"code": filters.code}),
        ("said", filters.said, gettext("Server said “%(words)s”") % {"words": filters.said}),
        ("domain", filters.domain, gettext("To @%(domain)s") % {"domain": filters.domain}),
        ("sent_on", filters.sent_on, _sent_on(filters)),
        ("age", filters.age, str(AGES[filters.age][0]) if filters.age else ""),
        ("mark", filters.mark, str(MARKS.get(filters.mark, ""))),
    ]
    empty: dict[str, object] = {"account": None, "sent_on": None}
    return [Chip(label, filters.query(**{name: empty.get(name, "")})) for name, is_set, label in found if is_set]


def _sent_on(filters: OutboxFilters) -> str:
    return gettext("Sent on %(day)s") % {"day": date_format(filters.sent_on)} if filters.sent_on else ""


def seen_by(request: HttpRequest, role: str = Role.VIEWER) -> OutboxQuerySet:
    """The rows of the accounts for which the user has the role."""
    return of_accounts(OutboxMessage.objects.all(), request, role)  # type: ignore[return-value]


def narrowed(
    request: HttpRequest, filters: OutboxFilters, accounts: list[Account], now: datetime, state: str = ""
) -> OutboxQuerySet:
    """The rows in this state that match the filters and belong to `accounts`, those the user may see."""
    sees_all = filters.account is None and has_role_everywhere(request.user, Role.VIEWER)
    wanted = {account.pk for account in accounts if filters.account in (None, account.pk)}
    return narrowed_to(None if sees_all else wanted, filters, now, state)


def narrowed_to(wanted: set[int] | None, filters: OutboxFilters, now: datetime, state: str) -> OutboxQuerySet:
    """The rows in this state that match the filters. `wanted`: pks of the accounts, instead of the filters' account;
    None: all."""
    rows: OutboxQuerySet = replace(filters, account=None).narrow(OutboxMessage.objects.all(), now)
    if wanted is not None and state in OPEN_STATES:
        rows = rows.whose(wanted)
    elif wanted is not None:
        rows = rows.filter(account=next(iter(wanted))) if len(wanted) == 1 else rows.filter(account__in=wanted)
    return replace(filters, state=state).of_state(rows)


def newest_rows(
    filters: OutboxFilters,
    wanted: set[int] | None,
    now: datetime,
    before: int | None,
    size: int,
    *,
    oldest: bool = False,
) -> tuple[OutboxQuerySet, int | None]:
    """(a page of at most `size` rows, the pk at which the search for a text stopped; None if it did not).

    wanted: pks of the accounts; None: all. before: the pk that ended the last page. oldest: in ascending order; not
    possible together with a text, which is searched from the newest row on.
    """
    stretch = SearchedRange.newest(filters).further(before)
    rows = stretch.narrow(narrowed_to(wanted, filters, now, filters.state)).order_by("pk" if oldest else "-pk")
    if before:
        rows = rows.filter(pk__gt=before) if oldest else rows.filter(pk__lt=before)
    if filters.account is None and filters.state not in OPEN_STATES:
        rows = newest_of_accounts(rows, wanted, size)
    return rows, stretch.goes_on_at


def listed(rows: OutboxQuerySet) -> OutboxQuerySet:
    """The rows as lists need them: without bodies, with account and attempts, and annotated with `works` (whether
    workers run), `all_paused` (whether all sending is paused) and `looked` (words of the last look into Sent)."""
    last = DeliveryAttempt.objects.filter(outbox=OuterRef("pk")).order_by().values("outbox")
    tries = Coalesce(Subquery(last.annotate(last=Max("number")).values("last")), 0)
    newest = DeliveryAttempt.objects.filter(outbox=OuterRef("pk")).order_by("-number")
    return (
        rows.select_related("account__smtp")
        .defer("body_text", "body_html")
        .annotate(
            tries=tries,
            works=Exists(WorkerHeartbeat.objects.alive(timezone.now())),
            all_paused=Exists(SendingSwitch.objects.filter(pk=1, paused_at__isnull=False)),
            tried_at=Subquery(newest.values("finished_at")[:1]),
            looked=Subquery(newest.values("sent_lookup__last_words")[:1]),
            drill=Coalesce(Subquery(newest.values("failure_mode")[:1]), Value("")),
            proven=Exists(DeliveryReport.objects.bounces().filter(outbox=OuterRef("pk"), is_proven=True)),
            bounced=Exists(DeliveryReport.objects.bounces().filter(outbox=OuterRef("pk"))),
            all_bounced=Exists(DeliveryReport.objects.bounces().filter(outbox=OuterRef("pk"), is_proven=True))
            & ~Exists(_without_a_proven_bounce()),
        )
    )


def _without_a_proven_bounce() -> QuerySet[OutboxRecipient]:
    """Subquery: the recipients of the outer row without a bounce that has the mark of its attempt."""
    bounces = DeliveryReport.objects.bounces().filter(recipient=OuterRef("pk"), is_proven=True)
    return OutboxRecipient.objects.filter(~Exists(bounces), outbox=OuterRef("pk"))


def find_row(request: HttpRequest, pk: int, role: str = Role.VIEWER) -> OutboxMessage:
    """The row. Raises Http404 when the user may not see its account, PermissionDenied when the role is too low."""
    found = listed(seen_by(request).filter(pk=pk)).defer(None).select_related("account__imap", "sent_copy")
    row = found.first()
    if row is None:
        raise Http404("No such mail in the outbox.")
    if role != Role.VIEWER:
        row.account = get_account(request.user, row.account_id, role)
    return row


def operated_accounts(request: HttpRequest) -> set[int]:
    """The pks of the accounts that the user may operate."""
    return set(accounts_for(request.user, Role.OPERATOR).values_list("pk", flat=True))


def visible_accounts(request: HttpRequest) -> list[Account]:
    """The accounts that the user may see, by address."""
    return list(accounts_for(request.user).order_by("email"))


def visible_and_operated(request: HttpRequest) -> tuple[list[Account], set[int]]:
    """(the accounts that the user may see, pks of those they may operate); one query."""
    is_operated = Exists(accounts_for(request.user, Role.OPERATOR).filter(pk=OuterRef("pk")))
    accounts = list(accounts_for(request.user).annotate(is_operated=is_operated).order_by("email"))
    return accounts, {account.pk for account in accounts if getattr(account, "is_operated", False)}


class CountUpTo(Subquery):
    """The number of rows of a query, at most COUNTED_AT_MOST + 1."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()
    empty_result_set_value = 0

    def __init__(self, rows: OutboxQuerySet) -> None:
        super().__init__(rows.order_by().values("pk")[: COUNTED_AT_MOST + 1])


@dataclass(frozen=True)
class CountedTab:
    """A tab of the outbox page with its count as text, which may end in "+", and its query string."""

    tab: OutboxTab | None  # None: all states
    label: str
    count: str
    query: str
    current: bool
    counted_at: datetime | None = None  # time of the periodic count; None: counted now
    number: int | None = None  # exact, of states that are not final


def count_tabs(
    request: HttpRequest, filters: OutboxFilters, accounts: list[Account], newest: SearchedRange, now: datetime
) -> list[CountedTab]:
    """The tabs with their counts. `accounts`: those that the user may see.

    One query for the open states, and one with a limit for the two final ones, unless a periodic count has found many.
    """
    counts = _open_counts(request, filters, accounts, now)
    finals = filters if filters.state in ("sent", "cancelled") else replace(filters, reason="")
    counted = _counted(request, finals)
    few = [tab.name for tab in TABS if tab.is_final and not _is_many(counted.get(tab.name))]
    over = _final_counts(request, newest.narrow(narrowed(request, finals, accounts, now)), few)
    not_over = sum(number for name, number in counts.items() if _keeps_reason(filters, name))
    tabs = [CountedTab(None, gettext("All"), "", filters.query(state=""), not filters.state, number=not_over)]
    for tab in TABS:
        text, at = grouped(counts[tab.name]), None
        if tab.is_final and tab.name not in few:
            known = counted[tab.name]
            text, at = grouped(known.number), known.at
        elif tab.is_final:
            text = _cut_count(over[tab.name], is_all=newest.goes_on_at is None)
        meant = filters if _keeps_reason(filters, tab.name) else replace(filters, reason="")
        number, is_open = None if tab.is_final else counts[tab.name], filters.state == tab.name
        tabs.append(CountedTab(tab, str(tab.label), text, meant.query(state=tab.name), is_open, at, number))
    return tabs


def _is_many(known: StoredCount | None) -> bool:
    return known is not None and known.number > COUNTED_AT_MOST


def _final_counts(request: HttpRequest, rows: OutboxQuerySet, names: list[str]) -> dict[str, int]:
    """state -> number of rows, at most COUNTED_AT_MOST + 1; one query."""
    if not names:
        return {}
    one_row = User.objects.filter(pk=request.user.pk or 0)  # a query of one row, which the counts annotate
    found: dict[str, int] = one_row.values(**{name: CountUpTo(getattr(rows, name)()) for name in names}).get()  # type: ignore[assignment]
    return found


def _open_counts(
    request: HttpRequest, filters: OutboxFilters, accounts: list[Account], now: datetime
) -> dict[str, int]:
    """state -> number of rows, for the open states; one query.

    It counts all accounts, grouped, and leaves out the others afterwards: so only open rows are read, while a condition
    on the account makes a planner read all that the account ever sent.
    """
    sees_all = filters.account is None and has_role_everywhere(request.user, Role.VIEWER)
    rows = replace(filters, account=None, reason="").narrow(OutboxMessage.objects.all(), now)
    open_rows = rows.filter(status__in=["pending", "sending", "failed"]).order_by()
    counts = {tab.name: 0 for tab in TABS}
    wanted = None if sees_all else {each.pk for each in accounts if filters.account in (None, each.pk)}
    columns = ("status", "hold") if wanted is None else ("status", "hold", "account")
    for status, hold, *account, number in open_rows.values_list(*columns).annotate(Count("pk")):
        name = _tab_name(status, hold)
        is_meant = hold == filters.reason or not (filters.reason and _keeps_reason(filters, name))
        counts[name] += number if is_meant and (wanted is None or account[0] in wanted) else 0
    return counts


def _keeps_reason(filters: OutboxFilters, state: str) -> bool:
    """Whether the reason narrows this tab: the open one, or its own. In others nothing would match: a 0 misleads."""
    return not filters.reason or state == filters.state or state == _tab_name("failed", filters.reason)


@dataclass(frozen=True)
class SearchedRange:
    """The range of pks that a page searches: all, or for a text, which has no index, LOOKED_AT below a pk."""

    below: int | None = None

    @classmethod
    def newest(cls, filters: OutboxFilters) -> SearchedRange:
        """The range of the first page; one query if the filters have a text, else none."""
        if not filters.text:
            return cls()
        return cls((OutboxMessage.objects.aggregate(newest=Max("pk"))["newest"] or 0) + 1)

    def further(self, before: int | None) -> SearchedRange:
        """The range below the pk `before`; this range if it is None."""
        return self if self.below is None or not before else SearchedRange(before)

    @property
    def goes_on_at(self) -> int | None:
        """The pk at which the next page has to go on; None if all was searched."""
        floor = 0 if self.below is None else self.below - LOOKED_AT
        return floor if floor > 1 else None

    def narrow(self, rows: OutboxQuerySet) -> OutboxQuerySet:
        """The rows of this range."""
        if self.below is None:
            return rows
        return rows.filter(pk__lt=self.below, pk__gte=self.goes_on_at or 0)


def _counted(request: HttpRequest, filters: OutboxFilters) -> dict[str, StoredCount]:
    """state -> periodic count for the listed accounts; empty if other filters are active."""
    if replace(filters, account=None).narrows:
        return {}
    rows = of_accounts(OutboxCount.objects.all(), request)
    return tab_counts.read(rows.filter(account=filters.account) if filters.account else rows)


def _tab_name(status: str, hold: str) -> str:
    if status != "failed":
        return {"pending": "queued", "sending": "sending"}[status]
    return {"": "retrying", "uncertain": "needs_decision"}.get(hold, "failed_for_good")


def _cut_count(number: int, *, is_all: bool) -> str:
    shown = grouped(min(number, COUNTED_AT_MOST))
    return f"{shown}+" if number > COUNTED_AT_MOST or not is_all else shown
