"""The outbox page: tabs by state, filters and rows; and `changes`, which the page polls every few seconds."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from mailbox import features
from mailbox.exports.list_pages import PAGE, ListPage
from mailbox.models import Account, Feature
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.csv_export import MOST, by_workers, csv_file
from mailbox.views.pagination import cut, limit_of, next_page
from mailbox.views.reading.latest_per_account import of_some
from mailbox.views.requests import Refused, number_of, signed_in_user
from outbox.actions import estimate
from outbox.actions.estimate import BulkQuestion
from outbox.actions.filters import AGES, ERRORS, MARKS, OutboxFilters
from outbox.models import Operation, OutboxMessage
from outbox.models.messages import OutboxQuerySet
from outbox.views.lists import failure_groups
from outbox.views.lists.bounced_rows import BOUNCE_MARKS, unseen_of, with_bounces
from outbox.views.lists.bulk import shown_operation
from outbox.views.lists.list_csv import CSV_HEAD, csv_lines
from outbox.views.row_view import RowView, row_view
from outbox.views.status import TAB_BY_NAME
from outbox.views.visible_rows import (
    CountedTab,
    SearchedRange,
    chips,
    count_tabs,
    listed,
    narrowed,
    newest_rows,
    read_filters,
    seen_by,
    visible_and_operated,
)

POLLED_AT_MOST = 100  # rows of a page that are polled, to limit the length of the URL
NEW_AT_MOST = 99
FAILED_STATES = ("retrying", "needs_decision", "failed_for_good")  # lists with a column for the time of the failure
NO_NEWS = 10**18 - 1  # higher than any pk, so that no row counts as new


_CHOICES = {
    "groups_looked_at": failure_groups.LOOKED_AT,
    "reasons": OutboxMessage.Hold.choices,
    "marks": MARKS.items(),
    "errors": ERRORS.items(),
    "ages": [(name, label) for name, (label, _age) in AGES.items()],
}


@require_safe
def outbox(request: HttpRequest) -> HttpResponseBase:
    """The list; `?format=csv` for a spreadsheet."""
    limit, before, filters = limit_of(request), number_of(request, "before"), read_filters(request)
    now, (accounts, operated) = timezone.now(), visible_and_operated(request)
    newest = SearchedRange.newest(filters)
    size, oldest = MOST + 1 if request.GET.get("format") == "csv" else limit + 1, _is_oldest_first(request, filters)
    rows, unseen_from = newest_rows(filters, _wanted(request, filters, accounts), now, before, size, oldest=oldest)
    rows = with_bounces(listed(rows)) if filters.mark in BOUNCE_MARKS else listed(rows)
    if request.GET.get("format") == "csv":
        return _as_file(request, _shown(request, rows[: MOST + 1], set()), is_whole=unseen_from is None)
    page, last = cut(_shown(request, rows[: limit + 1], operated), limit)
    goes_on_at = last.row.pk if last else unseen_from
    tabs = count_tabs(request, filters, accounts, newest, now)
    # If oldest: new rows are at the other end of the list.
    top = NO_NEWS if oldest else page[0].row.pk if page and not before else 0
    order = f"{filters.query()}&order=oldest".lstrip("&")
    matching = next((tab.number for tab in tabs if tab.current), None)
    context = {
        "rows": page,
        "tabs": tabs,
        "tab": TAB_BY_NAME.get(filters.state),
        "filters": filters,
        "is_filtered": filters.narrows,
        "chips": chips(filters, accounts),
        "first_page_url": f"?{order}" if oldest else f"?{filters.query()}",
        "csv_query": urlencode(filters.pairs() | ({"order": "oldest"} if oldest else {}) | {"format": "csv"}),
        "is_oldest_first": oldest,
        "other_order": "" if filters.text else f"?{filters.query()}" if oldest else f"?{order}",
        "next_url": next_page(request, goes_on_at) if goes_on_at else "",
        "is_first_page": not before,
        "accounts": accounts,
        **_CHOICES,
        "verbs": _verbs(filters) if matching != 0 else [],  # under All and a search, none may be open
        "poll": _poll(filters, page, tabs, top) if not before else "",
        "here": request.get_full_path(),
        "ticks_decisions": _asks_what_became(filters),
        "tells_failures": filters.state in FAILED_STATES,
        "matching": matching,
        "unseen": unseen_of(page) if filters.mark == "unseen" else [],
        "groups": _groups(request, filters, accounts, now) if not before else [],
        "retry_all": _retry_all(request, filters, operated) if not before else None,
        "may_administer": has_role_everywhere(request.user, Role.ADMINISTRATOR),
    }
    if operation_id := number_of(request, "operation"):  # show its progress, if it is the user's own
        mine = Operation.objects.filter(pk=operation_id, user=signed_in_user(request)).first()
        context |= shown_operation(mine) if mine else {}
    return render(request, "outbox/list.html", context | {"in_list": True})


def _as_file(request: HttpRequest, found: list[RowView], *, is_whole: bool) -> HttpResponseBase:
    if len(found) > MOST or not is_whole:
        return by_workers(request, "outbox")
    return csv_file("outbox", CSV_HEAD, csv_lines(found))


def outbox_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the list for a file that workers make. Ages in the filters count back from `now`."""
    filters, (accounts, _operated) = read_filters(request), visible_and_operated(request)
    oldest, wanted = _is_oldest_first(request, filters), _wanted(request, filters, accounts)
    rows, unseen_from = newest_rows(filters, wanted, now, after, PAGE + 1, oldest=oldest)
    rows = with_bounces(listed(rows)) if filters.mark in BOUNCE_MARKS else listed(rows)
    page, last = cut(_shown(request, rows[: PAGE + 1], set()), PAGE)
    return ListPage(csv_lines(page), {each.row.account_id for each in page}, last.row.pk if last else unseen_from)


def _is_oldest_first(request: HttpRequest, filters: OutboxFilters) -> bool:
    """Whether `?order=oldest` applies; not to a search for text. Raises Refused for an unknown order."""
    order = request.GET.get("order", "")
    if order not in ("", "oldest"):
        raise Refused(gettext("There is no filter “%(given)s”: choose one of the list's.") % {"given": order[:40]})
    return order == "oldest" and not filters.text


def _wanted(request: HttpRequest, filters: OutboxFilters, accounts: list[Account]) -> set[int] | None:
    """The pks of the accounts whose mail is listed; None for all accounts."""
    if filters.account is None:
        return of_some(request, accounts)
    return {account.pk for account in accounts if account.pk == filters.account}


def _groups(
    request: HttpRequest, filters: OutboxFilters, accounts: list[Account], now: datetime
) -> list[failure_groups.FailureGroup]:
    if filters.state not in failure_groups.GROUPED_STATES:
        return []
    rows = narrowed(request, filters, accounts, now, filters.state)
    return failure_groups.grouped(rows, filters, {account.pk: account.email for account in accounts})


def _asks_what_became(filters: OutboxFilters) -> bool:
    return filters.state == "needs_decision" or filters.reason == OutboxMessage.Hold.UNCERTAIN


def _retry_all(request: HttpRequest, filters: OutboxFilters, operated: set[int]) -> BulkQuestion | None:
    """The question of the button that retries all failed mail, whose label has the number; None for no button.

    Not with a search for text, which would have to read every row.
    """
    if filters.state != "failed_for_good" or filters.text or not operated:
        return None
    asked, _found = estimate.ask(filters, Operation.Verb.RETRY, signed_in_user(request), timezone.now(), operated)
    return asked if asked.will else None


def _verbs(filters: OutboxFilters) -> list[tuple[str, str]]:
    """(name, label) of the actions on all matching rows: two decisions for uncertain mail, else retry or cancel."""
    if filters.state in ("sent", "cancelled", "sending"):
        return []
    if _asks_what_became(filters):
        names = ["mark_as_sent", "send_again"]
    else:
        names = ["retry" if filters.state == "failed_for_good" else "send_now", "cancel"]
    return [(name, str(Operation.Verb(name).label)) for name in names]


def _shown(request: HttpRequest, rows: OutboxQuerySet, operated: set[int]) -> list[RowView]:
    now, known = timezone.now(), features.Rollouts.known_to(request.user)
    off = features.those_off(Feature.OUTBOX_RETRY, among=operated, known=known)
    return [
        row_view(
            row,
            now,
            tries=getattr(row, "tries", 0),
            may_operate=row.account_id in operated,
            may_retry=row.account_id not in off,
        )
        for row in rows
    ]


def _tabs_fingerprint(tabs: list[CountedTab]) -> str:
    return f"{zlib.crc32('|'.join(tab.count for tab in tabs).encode()):08x}"


def _poll(filters: OutboxFilters, rows: list[RowView], tabs: list[CountedTab], top: int) -> str:
    """The URL that the page polls for changes. It contains the state that the page shows."""
    known = ".".join(f"{each.row.pk}-{each.fingerprint}" for each in rows[:POLLED_AT_MOST])
    query = filters.query()
    query += f"{'&' if query else ''}rows={known}&tabs={_tabs_fingerprint(tabs)}&top={top}"
    return f"{reverse('outbox:changes')}?{query}"


@dataclass(frozen=True)
class ShownRow:
    """A row as the page shows it: its pk and the fingerprint of its state."""

    pk: int
    fingerprint: str

    @classmethod
    def read(cls, text: str) -> list[ShownRow]:
        """The rows of the `rows` parameter, at most POLLED_AT_MOST; what is none of them is left out."""
        found = []
        for part in text.split(".")[:POLLED_AT_MOST]:
            pk, _dash, fingerprint = part.partition("-")
            if pk.isascii() and pk.isdigit() and len(pk) <= 18:
                found.append(cls(int(pk), fingerprint))
        return found


@require_safe
def changes(request: HttpRequest) -> HttpResponse:
    """Fragments of the rows and tabs that differ from the page; htmx replaces them in place, so ticks are preserved."""
    filters, known = read_filters(request), ShownRow.read(request.GET.get("rows", ""))
    now = timezone.now()
    accounts, operated = visible_and_operated(request)
    now_shown = _shown(request, listed(seen_by(request).filter(pk__in=[each.pk for each in known])), operated)
    by_pk = {each.row.pk: each for each in now_shown}
    rows = [by_pk[each.pk] for each in known if each.pk in by_pk]
    fingerprints = {each.pk: each.fingerprint for each in known}
    tabs = count_tabs(request, filters, accounts, SearchedRange.newest(filters), now)
    top = number_of(request, "top") or 0
    newer = narrowed(request, filters, accounts, now, filters.state).filter(pk__gt=top)
    context: dict[str, Any] = {
        "rows": [each for each in rows if each.fingerprint != fingerprints[each.row.pk]],
        "tabs": tabs,
        "tabs_changed": _tabs_fingerprint(tabs) != request.GET.get("tabs", ""),
        "new": newer.order_by()[: NEW_AT_MOST + 1].count(),
        "first_page_url": f"{reverse('outbox:list')}?{filters.query()}",
        "tells_failures": filters.state in FAILED_STATES,
        "poll": _poll(filters, rows, tabs, top),
        "here": f"{reverse('outbox:list')}?{filters.query()}",
    }
    response = render(request, "outbox/_changes.html", context)
    return trigger_client_event(response, "badges") if context["tabs_changed"] else response
