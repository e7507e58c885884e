"""Message lists: of all accounts, one account or one folder, by message or by conversation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from mailbox.messages import conversations
from mailbox.models import Account, Folder, Message, MessagePlace
from mailbox.models.messages import UNLISTED
from mailbox.models.team_marks import team_filter
from mailbox.views.pagination import Cursor, cut, limit_of, next_page
from mailbox.views.reading.chosen import chosen_account, chosen_folder
from mailbox.views.reading.latest_per_account import newest_of_accounts
from mailbox.views.reading.new_messages import poll_address
from mailbox.views.reading.readable import Readable
from mailbox.views.reading.team_filters import team_choices, team_filter_of
from mailbox.views.requests import Refused, of_accounts, signed_in_user

SLICE_FACTOR = 4  # rows to read for each conversation of a page: most conversations are short
WALKED = 10_000
NEWEST, OLDEST = ("-received_at", "-pk"), ("received_at", "pk")
TEAM = "team_mark__assigned_to"  # for select_related: rows show the team mark


@dataclass(frozen=True)
class SideItem:
    """A line of the side list: an account or one of its folders."""

    label: str
    query: str
    unread: int
    current: bool
    is_folder: bool = False
    title: str = ""


@require_safe
def messages(request: HttpRequest) -> HttpResponse:
    """A page of a list; the query string has its filters, order and the cursor `before`."""
    limit, before = limit_of(request), Cursor.read(request.GET.get("before", ""))
    readable = Readable.of(request)
    folder = chosen_folder(request)
    account = chosen_account(request, readable.everyone, folder)
    seen, accounts = readable.keys(request, account), readable.accounts
    grouped, team = _grouped(request), team_filter_of(request)
    oldest = _is_oldest_first(request) and not grouped  # conversations are ordered by their newest mail
    if folder:
        marked = team_filter(team, signed_in_user(request), "message_id") if team else Q()
        rows, last = rows_of_folder(folder, before, limit, marked, grouped=grouped, oldest=oldest)
    else:
        marked = team_filter(team, signed_in_user(request)) if team else Q()
        rows, last = rows_of_accounts(seen, before, limit, marked, grouped=grouped, oldest=oldest)
    count_claims(rows)
    context = {
        "rows": rows,
        "next_url": next_page(request, last) if last else "",
        "is_first_page": before is None,
        "grouped": grouped,
        "by": _kept(grouped=grouped, oldest=oldest, team=team),
        "query": (_place(account, folder) + _kept(grouped=grouped, oldest=oldest, team=team)).lstrip("&"),
        "is_oldest_first": oldest,
        "other_order": "" if grouped else _other_order(request, oldest=oldest),
        "team": team,
        "team_choices": team_choices(request, team),
        "poll_url": poll_address(request, rows, is_whole=last is None) if before is None and not oldest else "",
        "toggle_url": _toggle(request, grouped=grouped),
        "account": account,
        "folder": folder,
        "show_account": account is None and len(accounts) > 1,
        "side": _side(request, accounts, account, folder),
        "has_accounts": bool(accounts),
        "unread_accounts": len(readable.off),
        "syncs": any(each.sync_enabled for each in ([account] if account else accounts)),
    }
    return render(request, "mailbox/messages/list.html", context)


def _grouped(request: HttpRequest) -> bool:
    given = request.GET.get("by", "")
    if given not in ("", "conversation"):
        raise Refused(
            gettext("The list cannot be grouped by “%(given)s”, only by conversation.") % {"given": given[:40]}
        )
    return given == "conversation"


def _is_oldest_first(request: HttpRequest) -> bool:
    given = request.GET.get("order", "")
    if given not in ("", "oldest"):
        raise Refused(gettext("There is no filter “%(given)s”: choose one of the list's.") % {"given": given[:40]})
    return given == "oldest"


def _kept(*, grouped: bool, oldest: bool, team: str) -> str:
    """The part of the query that links to another folder or to the first page keep."""
    kept = {"by": "conversation" if grouped else "", "order": "oldest" if oldest else "", "team": team}
    return "".join(f"&{name}={value}" for name, value in kept.items() if value)


def _place(account: Account | None, folder: Folder | None) -> str:
    """The part of the query that names the folder or account."""
    return f"folder={folder.pk}" if folder else f"account={account.pk}" if account else ""


def _toggle(request: HttpRequest, *, grouped: bool) -> str:
    """The URL of the first page of this list with the other grouping."""
    return _first_page(request, ("by", "order"), {} if grouped else {"by": "conversation"})


def _other_order(request: HttpRequest, *, oldest: bool) -> str:
    return _first_page(request, ("order",), {} if oldest else {"order": "oldest"})


def _first_page(request: HttpRequest, without: Collection[str], more: Mapping[str, str]) -> str:
    query = request.GET.copy()
    for name in ("before", *without):
        query.pop(name, None)
    for name, value in more.items():
        query[name] = value
    return f"?{query.urlencode()}"


def rows_of_accounts(
    seen: Collection[int] | None, before: Cursor | None, limit: int, marked: Q, *, grouped: bool, oldest: bool
) -> tuple[list[Message], Cursor | None]:
    """(a page of messages, the cursor of the next). `seen`: pks of the accounts, None for all. `marked`: a filter by
    team marks."""
    visible = Message.objects.visible().listed().order_by(*(OLDEST if oldest else NEWEST))
    found = visible.filter(_further(before, oldest=oldest), marked)
    if grouped:
        keys, last = _heads(found, ("pk", "received_at", "pk"), limit, seen=seen)
        return list(conversations.with_sizes(visible.filter(pk__in=keys)).select_related("account", TEAM)), last
    first = newest_of_accounts(found, seen, limit + 1)  # the oldest, if the rows are in ascending order
    rows, end = cut(list(first.select_related("account", TEAM)[: limit + 1]), limit)
    return rows, Cursor(end.received_at, end.pk) if end else None


def _further(before: Cursor | None, *, oldest: bool) -> Q:
    if before is None:
        return Q()
    return before.newer("received_at") if oldest else before.older("received_at")


def _heads(
    found: QuerySet[Any],
    columns: Sequence[str],
    limit: int,
    *,
    seen: Collection[int] | None = None,
    folder: Folder | None = None,
) -> tuple[list[int], Cursor | None]:
    """(pks of the newest mail of each conversation, the cursor of the next page).

    found: rows, the newest first. columns: names of their pk, received_at and message. seen: pks of the accounts, None
    for all.

    It reads slices, at most WALKED rows: where one conversation has very many mails, the page is shorter, and the next
    one goes on from there.
    """
    keys, at, last, size, walked = list[int](), None, None, SLICE_FACTOR * (limit + 1), 0
    while walked < WALKED:
        further = found.filter(at.older("received_at")) if at else found
        rows = list(newest_of_accounts(further, seen, size).values_list(*columns)[:size])
        slice_ = Message.objects.filter(pk__in=[message for _, _, message in rows])
        newest = conversations.newest_of_each(slice_, folder.pk if folder else None)
        heads = set(newest.values_list("pk", flat=True)) - set(keys)
        for pk, received_at, message in rows:
            at = Cursor(received_at, pk)
            if message in heads:
                if len(keys) == limit:
                    return keys, last
                heads.discard(message)  # a folder may have two copies
                keys.append(message)
                last = at
        if len(rows) < size:
            return keys, None
        walked += size
    return keys, at


def rows_of_folder(
    folder: Folder, before: Cursor | None, limit: int, marked: Q, *, grouped: bool, oldest: bool
) -> tuple[list[Message], Cursor | None]:
    """A page of one folder, by the index of places, so that a folder of a million messages is as fast."""
    places = MessagePlace.objects.present().filter(marked, folder=folder).order_by(*(OLDEST if oldest else NEWEST))
    places = places.filter(_further(before, oldest=oldest))
    if grouped:
        keys, last = _heads(places, ("pk", "received_at", "message_id"), limit, folder=folder)
        heads = conversations.with_sizes(Message.objects.filter(pk__in=keys).listed())
        return list(heads.select_related(TEAM).order_by("-received_at", "-pk")), last
    places = places.select_related("message", f"message__{TEAM}").defer(*(f"message__{name}" for name in UNLISTED))
    page, end = cut(list(places[: limit + 1]), limit)
    # A folder may have two copies of one mail, which get one row.
    rows = list({place.message_id: place.message for place in page}.values())
    return rows, Cursor(end.received_at, end.pk) if end else None


def count_claims(rows: list[Message]) -> None:
    """Set `claims` on each row: how many mails have its Message-ID. One query."""
    keys = {(row.account_id, row.message_id) for row in rows}
    counted = (
        Message.objects.visible()
        .filter(account__in={key[0] for key in keys}, message_id__in={key[1] for key in keys})
        .values_list("account_id", "message_id")
        .annotate(claims=Count("pk"))
        .filter(claims__gt=1)
    )
    claims = {(account_id, message_id): number for account_id, message_id, number in counted} if keys else {}
    for row in rows:
        row.claims = claims.get((row.account_id, row.message_id), 1)  # type: ignore[attr-defined]


def _side(
    request: HttpRequest, accounts: list[Account], account: Account | None, folder: Folder | None
) -> list[SideItem]:
    """The side list: all accounts, and the folders of the chosen one. Three queries."""
    unread = _unread_by_account(request)
    items = (
        [SideItem(gettext("All accounts"), "?", sum(unread.get(each.pk, 0) for each in accounts), account is None)]
        if len(accounts) != 1
        else []
    )
    opened = account or (accounts[0] if len(accounts) == 1 else None)
    for each in accounts:
        chosen = each == account and folder is None
        items.append(SideItem(each.email, f"?account={each.pk}", unread.get(each.pk, 0), chosen, title=each.email))
        if each == opened:
            items += _side_folders(each, folder)
    return items


def _unread_by_account(request: HttpRequest) -> dict[int, int]:
    unseen = of_accounts(Message.objects.visible().filter(seen=False), request)
    # Count "*" rather than the pk, which is not in the index: PostgreSQL would read each row for it.
    return dict(unseen.order_by().values_list("account_id").annotate(number=Count("*")))


def _side_folders(account: Account, current: Folder | None) -> list[SideItem]:
    selectable = Folder.objects.filter(account=account, selectable=True)
    unseen = MessagePlace.objects.present().filter(folder=OuterRef("pk"), seen=False).order_by().values("folder")
    folders = selectable.filter(Q(sync_enabled=True, gone_at=None) | Q(pk=current.pk if current else None)).annotate(
        unread=Coalesce(Subquery(unseen.annotate(number=Count("*")).values("number")), 0)
    )
    # INBOX first, as in every mail program.
    ordered = sorted(folders, key=lambda each: (each.name.upper() != "INBOX", each.name.casefold()))
    return [
        SideItem(each.name, f"?folder={each.pk}", getattr(each, "unread", 0), each == current, True, each.name)
        for each in ordered
    ]
