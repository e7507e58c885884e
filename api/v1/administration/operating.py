"""State and history: sync runs, incidents, health, activity, quarantine."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from ninja import Path, Query, Router, Schema, Status
from pydantic import Field

from alerts.models import AlertIncident, Kind
from alerts.problems.find import find_of_accounts, find_problems
from alerts.problems.problem import Problem
from api.models import Scope
from api.v1.protocol.access import (
    FAILURES,
    account_of,
    administers,
    asked_accounts,
    caller_of,
    seen,
    seen_or_all,
    users_time,
)
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text, columns
from mailbox import features
from mailbox.models import Feature, Quarantine, SyncRunFolder
from mailbox.views.accounts.accounts import has_workers
from mailbox.views.activity import activity
from mailbox.views.activity.activity_words import SAID, ActivityLine, told
from mailbox.views.pagination import cut
from mailbox.views.quarantine import ask_to_fetch, without_words
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.requests import Refused
from outbox.models import SendingSwitch

router = Router(tags=["operation"])
# Problems of no account that every token is told, as they stop all mail.
TOLD_TO_ALL = (Kind.WORKERS, Kind.PAUSED)


class RunLine(Schema):
    """One folder in the report of a sync run."""

    id: int
    run_id: UUID
    trigger: str
    account_id: int
    folder_name: str
    ok: bool
    fetched: int
    updated: int
    quarantined: int
    bytes: int
    seconds: float
    error_code: str
    error: str
    note: str
    started_at: datetime = Field(description="Of the run.")
    finished_at: datetime

    @classmethod
    def of(cls, row: SyncRunFolder) -> RunLine:
        own = columns(cls, row) | {"run_id": row.run.run_id}
        return cls(**own, trigger=row.run.trigger, started_at=row.run.started_at)


class Incident(Schema):
    """Something that needs a person, from its first detection until it has been gone for a while."""

    id: int
    key: str
    kind: str
    account_id: int | None
    sentence: str
    path: str = Field(description="Of the page that mends it.")
    count: int
    opened_at: datetime
    alerted_at: datetime | None
    closed_at: datetime | None

    @classmethod
    def of(cls, row: AlertIncident) -> Incident:
        return cls(**columns(cls, row))


class ActivityEntry(Schema):
    """One entry of the activity. `part_of`: the entry of the click on many that it belongs to."""

    id: int
    at: datetime
    who: str
    verb: str
    words: str
    account_id: int | None
    target: str
    subject: str
    detail: str
    part_of: int | None
    parts: int = Field(description="How many things it did, where it is one click on many.")

    @classmethod
    def of(cls, line: ActivityLine) -> ActivityEntry:
        entry = line.entry
        who = entry.user.get_username() if entry.user else ""
        said = {"who": who, "words": line.words, "subject": line.subject, "parts": line.parts}
        return cls(**columns(cls, entry) | said | {"part_of": entry.part_of_id})


class NeedState(Schema):
    """A problem that needs a person. `account_id`: null for the installation's own. `count`: how many of them
    there are."""

    key: str
    kind: str
    account_id: int | None
    sentence: str
    count: int

    @classmethod
    def of(cls, found: Problem) -> NeedState:
        own = {name: getattr(found, name) for name in ("key", "account_id", "sentence", "count")}
        return cls(**own, kind=found.kind.value)


class Health(Schema):
    """What the dashboard says: what needs a person, whether workers run, whether all sending is paused."""

    is_well: bool = Field(description="Nothing needs a person.")
    workers_alive: bool
    sending_paused: bool
    needs: list[NeedState]


class Quarantined(Schema):
    """A message on the server that could not be fetched, stored or parsed. `size` is in bytes."""

    id: int
    account_id: int
    folder_id: int
    uid: int
    size: int | None
    subject: str = Field(description="From its header; empty where that could not be read.")
    sender: str
    error: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    fetch_requested_at: datetime | None

    @classmethod
    def of(cls, row: Quarantine) -> Quarantined:
        return cls(**columns(cls, row), folder_id=row.folder_id)


@router.get("/runs", response={200: Answer[Page[RunLine]], **FAILURES}, operation_id="list_runs")
def list_runs(
    request: HttpRequest, account: Number | None = None, limit: Limit = 50, before: Number | None = None
) -> Answer[Page[RunLine]]:
    """The reports of sync runs, by folder, newest first."""
    rows = SyncRunFolder.objects.select_related("run").order_by("-pk")
    rows = rows.filter(pk__lt=before) if before is not None else rows
    rows = newest_of_accounts(rows, asked_accounts(request, account), limit + 1)
    page, last = cut(list(rows[: limit + 1]), limit)
    return Answer(data=Page(items=[RunLine.of(row) for row in page], next=str(last.pk) if last else None))


@router.get("/incidents", response={200: Answer[Page[Incident]], **FAILURES}, operation_id="list_incidents")
def list_incidents(
    request: HttpRequest, open: bool | None = None, limit: Limit = 50, before: Number | None = None
) -> Answer[Page[Incident]]:
    """Incidents, newest first. `open`: true for open ones only, false for closed ones only."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    rows = AlertIncident.objects.order_by("-pk")
    rows = rows if open is None else rows.filter(closed_at__isnull=open)
    rows = rows.filter(pk__lt=before) if before is not None else rows
    page, last = cut(list(rows[: limit + 1]), limit)
    return Answer(data=Page(items=[Incident.of(row) for row in page], next=str(last.pk) if last else None))


@router.get("/health", response={200: Answer[Health], **FAILURES}, operation_id="health")
def health(request: HttpRequest) -> Answer[Health]:
    """Problems of the token's accounts that need a person; for a token that administers all accounts also those of
    machines, and what expires soon."""
    now, accounts, caller = timezone.now(), seen_or_all(request), caller_of(request)
    sees_all = administers(caller)
    problems = find_problems(now).all() if accounts is None else find_of_accounts(accounts, now)

    def is_shown(found: Problem) -> bool:
        of_site = sees_all or found.kind in TOLD_TO_ALL
        return of_site if found.account_id is None else accounts is None or found.account_id in accounts

    needs = [NeedState.of(each) for each in problems if is_shown(each)]
    is_paused = SendingSwitch.objects.filter(paused_at__isnull=False).exists()
    known = {"workers_alive": has_workers(now), "sending_paused": is_paused}
    return Answer(data=Health(is_well=not needs, needs=needs, **known))


class ActivityQuery(Asked):
    """The filters of the activity; empty ones match everything."""

    account: Number | None = None
    who: Text = Field(default="", description="A user name.")
    verb: Text = ""
    day: date | None = Field(default=None, description="In the time zone of the token's user.")
    q: Text = ""
    part_of: Number | None = Field(default=None, description="What this click on many did.")


@router.get("/activity", response={200: Answer[Page[ActivityEntry]], **FAILURES}, operation_id="list_activity")
def list_activity(
    request: HttpRequest, asked: Query[ActivityQuery], limit: Limit = 50, before: Number | None = None
) -> Answer[Page[ActivityEntry]]:
    """Who did what, newest first: on the token's accounts and by its user, or everything for a token that administers
    all accounts. With `q`, a page may have fewer entries than `limit` and still have a next page."""
    caller, accounts = caller_of(request), seen(request)
    sees_all = administers(caller)
    own = caller.token.user if caller.token.all_accounts else None
    wanted = _filter(request, asked)
    with users_time(request):
        seen_of, off = None if sees_all else accounts, features.those_off(Feature.INBOX_READ)
        rows, below = activity.find(wanted, seen_of, off, own, before or 0, limit + 1)
    page, last = cut(told(rows[: limit + 1]), limit)
    lines = activity.with_parts(page)
    following = last.entry.pk if last else (below if below > 1 else None)
    items = [ActivityEntry.of(line) for line in lines]
    return Answer(data=Page(items=items, next=str(following) if following else None))


def _filter(request: HttpRequest, asked: ActivityQuery) -> activity.ActivityFilter:
    if asked.verb and asked.verb not in SAID:
        raise Refused(gettext("There is no filter “%(given)s”: choose one of the list's.") % {"given": asked.verb[:40]})
    return activity.ActivityFilter(
        account=account_of(request, asked.account, Scope.READ) if asked.account is not None else None,
        who=asked.who.strip()[:150],
        verb=asked.verb,
        day=activity.day_of(asked.day.isoformat()) if asked.day else None,
        text=asked.q.strip()[: activity.TEXT_LIMIT],
        part_of=asked.part_of,
    )


@router.get("/quarantine", response={200: Answer[Page[Quarantined]], **FAILURES}, operation_id="list_quarantine")
def list_quarantine(
    request: HttpRequest, account: Number | None = None, limit: Limit = 50, before: Number | None = None
) -> Answer[Page[Quarantined]]:
    """Messages that could not be fetched or stored, newest first. `subject` and `sender` are empty, too, where reading
    the account's mail is switched off."""
    accounts, off = asked_accounts(request, account), features.those_off(Feature.INBOX_READ)
    rows = Quarantine.objects.open().order_by("-pk")
    rows = rows if accounts is None else rows.filter(account__in=accounts)
    rows = rows.filter(pk__lt=before) if before is not None else rows
    page, last = cut(list(rows[: limit + 1]), limit)
    items = [Quarantined.of(row) for row in without_words(page, off)]
    return Answer(data=Page(items=items, next=str(last.pk) if last else None))


@router.post("/quarantine/{pk}/fetch", response={202: Answer[Quarantined], **FAILURES}, operation_id="fetch_again")
def fetch_again(request: HttpRequest, pk: Path[Number]) -> Status[Answer[Quarantined]]:
    """Have a worker fetch the message again now. Needs the scope read, too, as the answer says whose mail it is."""
    operated = caller_of(request).accounts(Scope.OPERATE).filter(pk__in=seen(request))
    rows = Quarantine.objects.open().select_related("folder", "account")
    row = get_object_or_404(rows, pk=pk, account__in=operated)
    ask_to_fetch(request, row, row.account)
    [row] = without_words(
        Quarantine.objects.filter(pk=pk), features.those_off(Feature.INBOX_READ, among=[row.account_id])
    )
    return Status(202, Answer(data=Quarantined.of(row)))
