"""Accounts: the list with their health, and the page of one."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, QuerySet, Subquery, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from mailbox import features
from mailbox.accounts import sign_in_state
from mailbox.accounts.health import chosen_folders, conditions, oldest_success, push_words
from mailbox.accounts.outbox_figures import OutboxFigures, figures_of
from mailbox.accounts.waiting_mail import of_failing
from mailbox.completeness import words
from mailbox.exports.list_pages import PAGE, ListPage
from mailbox.models import (
    Account,
    AccountAlias,
    AuditEntry,
    Completeness,
    ConnectionTest,
    OAuthSignIn,
    PushHeartbeat,
    SyncRunFolder,
    WorkerHeartbeat,
)
from mailbox.permissions import Role, accounts_for, get_account, has_role_everywhere
from mailbox.views.accounts import account_csv
from mailbox.views.accounts.account_list import SORTS, STATES, AccountFilter
from mailbox.views.accounts.account_permissions import Rights
from mailbox.views.accounts.account_row import AccountRow
from mailbox.views.accounts.backfill import show_progress
from mailbox.views.activity.activity_mails import with_subjects
from mailbox.views.activity.activity_words import told
from mailbox.views.csv_export import MOST, by_workers, csv_file
from mailbox.views.pagination import cut, limit_of
from mailbox.views.requests import Refused, number_of, signed_in_user

RUN_COLUMNS = (
    "folder_name",
    "ok",
    "fetched",
    "updated",
    "quarantined",
    "bytes",
    "seconds",
    "error_code",
    "error",
    "note",
)
RUNS_HEAD = ("started_at", "run", "trigger", "by", *RUN_COLUMNS)
NEWS_FOR = timedelta(minutes=2)  # how long after the sign-in `?signed_in=` shows its message


def row_of(
    account: Account,
    rights: Rights,
    now: datetime,
    waiting: dict[int, int],
    *,
    has_workers: bool,
    figures: OutboxFigures | None = None,
) -> AccountRow:
    """The row of an account that was read with transports and `chosen_folders`. waiting: mails, by account pk."""
    folders = account.chosen_folders  # type: ignore[attr-defined]
    return AccountRow(
        account=account,
        conditions=conditions(account, folders, now, waiting, has_workers=has_workers),
        up_to_date_at=oldest_success(folders),
        may_operate=rights.may_operate(account.pk) and not account.deleting_since,
        may_administer=rights.may_administer(account.pk) and not account.deleting_since,
        figures=figures,
    )


def has_workers(now: datetime) -> bool:
    """Whether a cluster has shown a heartbeat lately; else pages promise no time."""
    return WorkerHeartbeat.objects.alive(now).exists()


def rows_of(
    request: HttpRequest, accounts: QuerySet[Account], *, workers_alive: bool | None = None, with_figures: bool = False
) -> list[AccountRow]:
    """The rows of these accounts, with a constant number of queries.

    workers_alive: None: query it. with_figures: read the sending figures as well.
    """
    rights, now = Rights.of(request.user), timezone.now()
    selected = list(accounts.select_related("imap", "smtp").prefetch_related(chosen_folders()))
    works = has_workers(now) if workers_alive is None else workers_alive
    figures = figures_of([account.pk for account in selected], midnight(now), is_list=True) if with_figures else {}
    waiting = {pk: each.queued for pk, each in figures.items()} if with_figures else of_failing(selected, now)
    return [
        row_of(account, rights, now, waiting, has_workers=works, figures=figures.get(account.pk))
        for account in selected
    ]


def midnight(now: datetime) -> datetime:
    """The begin of today in the reader's time zone."""
    return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)


@require_safe
def accounts(request: HttpRequest) -> HttpResponseBase:
    """The accounts that the user may see, those with problems first. `?after=`: the cursor of the last page.
    `?format=csv`: as a file."""
    limit, after, chosen = limit_of(request), request.GET.get("after", ""), AccountFilter.of(request)
    seen = chosen.rows(accounts_for(request.user), after)
    if request.GET.get("format") == "csv":
        found = rows_of(request, seen[: MOST + 1], with_figures=True)
        if len(found) > MOST:
            return by_workers(request, "accounts")
        return csv_file("accounts", account_csv.HEAD, account_csv.lines_of(found))
    page, last = cut(rows_of(request, seen[: limit + 1], with_figures=True), limit)
    following = chosen.query(after=AccountFilter.cursor(last.account), limit=limit) if last else ""
    context = {
        "rows": page,
        "next_url": f"?{following}" if last else "",
        "is_first_page": not after,
        "csv_url": f"?{chosen.query(format='csv')}",
        "filter": chosen,
        "states": STATES.items(),
        "sorts": SORTS.items(),
        "may_add": has_role_everywhere(request.user, Role.ADMINISTRATOR),
    }
    return render(
        request, "mailbox/accounts/_list.html" if is_partial(request) else "mailbox/accounts/list.html", context
    )


def accounts_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the list for a file that workers make: by address, since accounts come in trouble and out of it while
    the file is made."""
    chosen = replace(AccountFilter.of(request), sort="email")
    seen = chosen.rows(accounts_for(request.user), after or "")
    page, last = cut(rows_of(request, seen[: PAGE + 1], with_figures=True), PAGE)
    of = {row.account.pk for row in page}
    return ListPage(list(account_csv.lines_of(page)), of, AccountFilter.cursor(last.account) if last else None)


def is_partial(request: HttpRequest) -> bool:
    """Whether htmx requests a fragment of this page."""
    return request.headers.get("HX-Request") == "true"


@require_safe
def account(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one account: health, folders, last runs, activity. htmx polls it as a fragment."""
    works: dict[str, Any] = {"has_workers": Exists(WorkerHeartbeat.objects.alive(timezone.now()))}
    works["compared"] = Subquery(Completeness.objects.filter(account=OuterRef("pk")).values("document"))
    context = _page_of(request, get_account(request.user, pk, also=works))
    if is_partial(request):
        return render(request, "mailbox/accounts/_status.html", context)
    context["completeness"] = words.lines_of_document(context["account"].compared)
    context["aliases"] = AccountAlias.objects.filter(account_id=pk)
    context["test_mail_key"] = secrets.token_urlsafe(12)
    context["activity"] = told(
        with_subjects(AuditEntry.objects.filter(account_id=pk), {pk}, features.unreadable_to(request.user))[:10]
    )
    context["has_just_signed_in"] = has_just_signed_in(request, pk)
    return render(request, "mailbox/accounts/detail.html", context)


def has_just_signed_in(request: HttpRequest, account_id: int) -> bool:
    """Whether the sign-in at the provider that `?signed_in=` names led this user here within NEWS_FOR."""
    given = request.GET.get("signed_in", "")
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        return False
    own = OAuthSignIn.objects.filter(pk=int(given), account=account_id, asked_by=signed_in_user(request).pk)
    return own.filter(status=OAuthSignIn.Status.DONE, moved_at__gt=timezone.now() - NEWS_FOR).exists()


def _page_of(request: HttpRequest, account: Account) -> dict[str, Any]:
    prefetch_related_objects([account], chosen_folders())
    now, folders = timezone.now(), account.chosen_folders  # type: ignore[attr-defined]
    rights, works = Rights.of_one(signed_in_user(request), account), account.has_workers  # type: ignore[attr-defined]
    figures = figures_of([account.pk], midnight(now), is_list=False).get(account.pk, OutboxFigures())
    waiting = {account.pk: figures.queued}
    return {
        "row": row_of(account, rights, now, waiting, has_workers=works, figures=figures),
        "account": account,
        "folders": folders,
        "backfill": show_progress(folders, now),
        "push": push_words(account, folders, list(PushHeartbeat.objects.alive(now))),
        "runs": _runs(account)[:10],
        "sign_ins": sign_in_state.states(account, now),
        "last_test": ConnectionTest.objects.filter(account=account).first(),
    }


def _runs(account: Account) -> QuerySet[SyncRunFolder]:
    return SyncRunFolder.objects.filter(account=account).select_related("run", "run__requested_by").order_by("-pk")


@require_safe
def runs(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The run reports of an account, by folder, newest first. `?format=csv`: as a file."""
    account, limit = get_account(request.user, pk), limit_of(request)
    if request.GET.get("format") == "csv":
        found = list(_runs(account)[: MOST + 1])
        if len(found) > MOST:
            return by_workers(request, "runs", account=pk)
        return csv_file("runs", RUNS_HEAD, map(_run_cells, found))
    rows = before_pk(request, _runs(account))
    page, last = cut(list(rows[: limit + 1]), limit)
    next_url = "?" + urlencode({"before": last.pk, "limit": limit}) if last else ""
    context = {"account": account, "runs": page, "next_url": next_url, "is_first_page": "before" not in request.GET}
    return render(request, "mailbox/accounts/runs.html", context)


def runs_page(request: HttpRequest, after: Any, now: datetime) -> ListPage:
    """A page of the run reports of the account `?account=` for a file that workers make."""
    rows = _runs(get_account(request.user, number_of(request, "account") or 0))
    page, last = cut(list((rows.filter(pk__lt=after) if after else rows)[: PAGE + 1]), PAGE)
    return ListPage([_run_cells(row) for row in page], {row.account_id for row in page}, last.pk if last else None)


def _run_cells(row: SyncRunFolder) -> list[object]:
    by = row.run.requested_by.get_username() if row.run.requested_by else ""
    started = timezone.localtime(row.run.started_at).isoformat(timespec="seconds")
    return [started, row.run.run_id, row.run.trigger, by, *(getattr(row, name) for name in RUN_COLUMNS)]


def before_pk(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    """The rows with a lower pk than `?before=`; raises Refused."""
    given = request.GET.get("before", "")
    if not given:
        return rows
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise Refused(gettext("The address names no place in this list; start from its first page."))
    return rows.filter(pk__lt=int(given))
