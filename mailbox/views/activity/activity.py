"""The activity page: who changed what, and when (AuditEntry)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from mailbox import features
from mailbox.exports.list_pages import PAGE, ListPage
from mailbox.models import Account, AuditEntry
from mailbox.models.exports import EVERYWHERE
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from mailbox.views.activity.activity_mails import with_subjects, with_text
from mailbox.views.activity.activity_words import SAID, ActivityLine, told
from mailbox.views.csv_export import MOST, by_workers, csv_file
from mailbox.views.pagination import cut, limit_of, next_page
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.requests import Refused, number_of, signed_in_user

TEXT_LIMIT = 200
CSV_STRETCH = 400_000
STRETCH = 20_000  # entries that one page searches for a text, for which there is no index


@dataclass(frozen=True)
class ActivityFilter:
    """The filter in the URL's query."""

    account: Account | None = None
    who: str = ""  # a user name
    verb: str = ""
    day: date | None = None  # in the reader's time zone
    text: str = ""
    part_of: int | None = None  # pk of a bulk action, whose parts are shown

    @classmethod
    def of(cls, request: HttpRequest, accounts: list[Account]) -> ActivityFilter:
        """The filter of this request. `accounts`: those the user may see. Raises Refused, and Http404 for another
        account."""
        verb, day = request.GET.get("verb", ""), request.GET.get("day", "")
        if verb and verb not in SAID:
            raise Refused(gettext("There is no filter “%(given)s”: choose one of the list's.") % {"given": verb[:40]})
        return cls(
            account=_account(request, accounts),
            who=request.GET.get("who", "").replace("\0", "").strip()[:150],
            verb=verb,
            day=day_of(day) if day else None,
            text=request.GET.get("q", "").replace("\0", "").strip()[:TEXT_LIMIT],
            part_of=number_of(request, "part_of"),
        )

    @property
    def narrows(self) -> bool:
        """Whether it leaves entries out, apart from its account."""
        return bool(self.who or self.verb or self.day or self.text)

    def query(self, **more: str | int) -> str:
        """Its query string, with further parameters, and without empty ones."""
        asked: dict[str, Any] = {"account": self.account.pk if self.account else "", "who": self.who, "q": self.text}
        asked |= {"verb": self.verb, "day": self.day or "", "part_of": self.part_of or ""} | more
        return urlencode({name: str(value) for name, value in asked.items() if value})

    def narrow(self, rows: QuerySet[AuditEntry], seen: set[int] | None, off: set[int]) -> QuerySet[AuditEntry]:
        """The rows that it keeps, but for `part_of`. seen, off: as for with_text()."""
        if self.account:
            rows = rows.filter(account=self.account)
        if self.who:
            rows = rows.filter(user__username__iexact=self.who)
        if self.verb:
            rows = rows.filter(verb=self.verb)
        if self.day:
            begin = timezone.make_aware(datetime.combine(self.day, time.min))
            end = timezone.make_aware(datetime.combine(self.day + timedelta(days=1), time.min))
            rows = rows.filter(at__gte=begin, at__lt=end)
        if self.text:
            rows = with_text(rows, self.text, seen, off)
        return rows


def day_of(given: str) -> date:
    """The date in ISO form. Raises Refused, also for the last day of the calendar, which has no end."""
    try:
        day = date.fromisoformat(given)
        timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))
    except (ValueError, OverflowError) as error:
        raise Refused(gettext("“%(given)s” is no day; write it as in 2026-03-31.") % {"given": given[:40]}) from error
    return day


@require_safe
def activity(request: HttpRequest) -> HttpResponseBase:
    """The activity, newest first. `?part_of=`: the parts of a bulk action. `?format=csv`: as a file.

    An administrator of some accounts sees the entries of those accounts, and their own.
    """
    accounts = list(accounts_for(request.user).order_by("email"))
    asked, limit, before = ActivityFilter.of(request, accounts), limit_of(request), _before(request)
    administers = has_role_everywhere(request.user, Role.ADMINISTRATOR)
    seen = None if administers else {account.pk for account in accounts}
    is_csv = request.GET.get("format") == "csv"
    size = MOST + 1 if is_csv else limit + 1
    off, stretch = features.unreadable_to(request.user), CSV_STRETCH if is_csv else STRETCH
    rows, below = find(asked, seen, off, signed_in_user(request), before, size, stretch)
    if is_csv:
        found = told(rows[:size])
        if len(found) > MOST or below > 1:
            return by_workers(request, "activity")
        return csv_file("activity", HEAD, _csv_rows(found))
    page, last = cut(told(rows[:size]), limit)
    goes_on_at = last.entry.pk if last else (below if below > 1 else None)
    context = {
        "entries": with_parts(page),
        "asked": asked,
        "account": asked.account,
        "accounts": accounts,
        "verbs": sorted(SAID.items(), key=lambda pair: str(pair[1]).casefold()),
        "next_url": next_page(request, goes_on_at) if goes_on_at else "",
        "is_first_page": not before,
        "csv_url": "?" + asked.query(format="csv"),
    }
    return render(request, "mailbox/activity.html", context)


def activity_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the list for a file that workers make. An administrator of all accounts has entries of no account."""
    accounts = list(accounts_for(request.user).order_by("email"))
    asked, administers = ActivityFilter.of(request, accounts), has_role_everywhere(request.user, Role.ADMINISTRATOR)
    seen = None if administers else {account.pk for account in accounts}
    off = features.unreadable_to(request.user)
    rows, below = find(asked, seen, off, signed_in_user(request), after or 0, PAGE + 1, CSV_STRETCH)
    page, last = cut(told(rows[: PAGE + 1]), PAGE)
    goes_on_at = last.entry.pk if last else (below if below > 1 else None)
    of = {line.entry.account_id for line in page if line.entry.account_id is not None}
    of |= {EVERYWHERE} if administers else set()
    return ListPage(list(_csv_rows(page)), of, goes_on_at)


def find(
    asked: ActivityFilter,
    seen: set[int] | None,
    off: set[int],
    own: User | None,
    before: int,
    size: int,
    stretch: int = STRETCH,
) -> tuple[QuerySet[AuditEntry], int]:
    """At most `size` entries with a pk below `before` (0: from the newest), newest first; and the lowest pk searched.

    seen: pks of the accounts whose entries are shown; None: all. off: of those whose received mail may not be read.
    own: a user whose own entries are shown as well.
    stretch: how many entries to search for a text.
    """
    below = _lowest(before, stretch) if asked.text else 0
    rows = _rows(asked, seen, off, own).filter(*([Q(pk__lt=before)] if before else []), pk__gte=below)
    if seen is not None and not asked.account:
        rows = newest_of_accounts(rows, seen, size, also=Q(user=own) if own else None)
    return with_subjects(rows, seen, off), below


def _before(request: HttpRequest) -> int:
    before = request.GET.get("before", "")
    if before and (not before.isascii() or not before.isdigit() or len(before) > 18):
        raise Refused(gettext("The address names no place in this list; start from its first page."))
    return int(before or 0)


def _lowest(before: int, stretch: int) -> int:
    """The lowest pk that this page searches for a text."""
    newest = before or (AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    return max(newest - stretch, 1)


def _rows(asked: ActivityFilter, seen: set[int] | None, off: set[int], own: User | None) -> QuerySet[AuditEntry]:
    """The entries to show. The parts of a bulk action are left out, since its own entry stands for them.

    But a bulk action belongs to no account. So the parts are shown in the list of one account, and to a user who sees
    some accounts only, unless the bulk action is their own.
    """
    rows = asked.narrow(AuditEntry.objects.order_by("-pk"), seen, off)
    if asked.part_of:
        return rows.filter(part_of=asked.part_of)
    if asked.account:
        return rows
    if seen is None:
        return rows.filter(part_of=None)
    return rows.filter(Q(part_of=None) | ~Q(user=own)) if own else rows


def with_parts(lines: list[ActivityLine]) -> list[ActivityLine]:
    """Set the number of parts of each line that is a bulk action; one query."""
    parts = AuditEntry.objects.filter(part_of__in=[line.entry.pk for line in lines]).order_by()
    numbers = dict(parts.values_list("part_of").annotate(Count("pk"))) if lines else {}
    return [replace(line, parts=numbers.get(line.entry.pk, 0)) for line in lines]


HEAD = ("at", "who", "verb", "words", "account", "target", "subject", "detail")


def _csv_rows(lines: list[ActivityLine]) -> Iterator[list[object]]:
    for line in lines:
        entry = line.entry
        who = entry.user.get_username() if entry.user else ""
        account = entry.account.email if entry.account else ""
        at = timezone.localtime(entry.at).isoformat(timespec="seconds")
        yield [at, who, entry.verb, line.words, account, entry.target, line.subject, entry.detail]


def _account(request: HttpRequest, accounts: list[Account]) -> Account | None:
    pk = number_of(request, "account")
    if pk is None:
        return None
    for account in accounts:
        if account.pk == pk:
            return account
    raise Http404("No such account.")
