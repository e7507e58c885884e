"""Runs a search such as 'from:ann has:attachment invoice' and returns a page of messages, newest first.

The index answers words, accounts, attachments and sizes, in the order of the list. Conditions that change often
(unread, flagged, folders, expunged) are checked on the messages themselves, so that the index is never out of date and
never returns a mail that is gone. The work for a page is bounded: it ends after LOOKED_AT hits, and the next page
continues from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Substr
from django.utils import timezone

from mailbox import features
from mailbox.models import Account, Feature, Folder, Message, MessageSearch
from mailbox.models.accounts import AccountQuerySet
from mailbox.models.messages import MessageQuerySet
from mailbox.permissions import accounts_for, has_role_everywhere
from mailbox.search.gmail_labels import in_or_carrying, label_of
from mailbox.search.index import first_key, moment_and_pk_of, sort_key
from mailbox.search.lookup import HIGHEST_KEY, LOWEST_KEY, Hit, Match, confirm, find, match_of
from mailbox.search.query import AccountOrFolderName, SearchQuery, parse

MIN_LIMIT, MAX_LIMIT = 1, 500
LOOKED_AT = 20_000  # hits that are checked for one page, at most
ASKED_AT_ONCE = 5_000  # messages in one query
FEW = 500  # if no more messages satisfy the other conditions, their words are compared instead of querying the index
EXCERPT_SOURCE = 20_000  # characters of the body that are loaded for the excerpt
ListPosition = tuple[datetime, int]  # received_at and pk of the last row of a page


@dataclass(frozen=True)
class SearchPage:
    """One page of results. next: pass it as `before` for the following page; None at the end.

    A page with fewer rows than the limit may still have a next one, because of LOOKED_AT.
    """

    rows: tuple[Message, ...] = ()
    next: ListPosition | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """A query resolved for one user: the conditions on the index, and those on the messages."""

    match: Match | None
    messages: MessageQuerySet  # visible messages of accounts that the user may see, with all conditions but the words
    may_be_few: bool  # a database index tells quickly whether at most FEW messages satisfy these conditions
    from_key: int
    below: int


def search(
    user: User | AnonymousUser,
    query: SearchQuery | str,
    *,
    limit: int = 50,
    before: ListPosition | None = None,
    among: AccountQuerySet | None = None,
    is_listed: bool = True,
) -> SearchPage:
    """The first `limit` (1 to 500) messages after `before` that match the query and that this user may see.

    among: only in these accounts; None for all that the user may see. is_listed: load what lists display (team marks
    and the beginning of the body), too.

    The order is received_at descending (whole seconds, as in IMAP), then pk descending. A query that cannot be
    understood gives a page with `problems` and without rows. Accounts without the feature are left out. Raises
    ValueError for a limit out of range, FeatureOff if none of the accounts may be searched.
    """
    if not MIN_LIMIT <= limit <= MAX_LIMIT:
        raise ValueError(f"The limit is a number from {MIN_LIMIT} to {MAX_LIMIT}.")
    asked = parse(query) if isinstance(query, str) else query
    if asked.problems:
        return SearchPage(problems=asked.problems)
    plan = _plan(user, asked, among)
    if plan is None:
        return SearchPage()
    below = min(plan.below, sort_key(*before)) if before else plan.below
    if plan.match is None:
        return _page_of_messages(plan, limit, before, is_listed)
    few = _few(plan) if plan.may_be_few else None
    if few is not None:
        return _page(_rows(is_listed=is_listed), confirm(plan.match, _hits_of(few, below)), limit)
    return _page_of_hits(plan, plan.match, below, limit, is_listed)


def _plan(user: User | AnonymousUser, query: SearchQuery, among: AccountQuerySet | None) -> _Plan | None:
    """Resolve a query for a user. None if it can find nothing, as no account or no folder has the given name."""
    seen = accounts_for(user) if among is None else among
    account_ids: list[int] | None = None
    known = features.Rollouts.known_to(user)
    if off := features.those_off(Feature.INBOX_READ, Feature.INBOX_SEARCH, known=known):
        seen = _without(seen, off)
    if off or among is not None or query.accounts or not has_role_everywhere(user, "viewer"):
        account_ids = _account_ids(seen.values_list("pk", "email", "display_name"), query.accounts)
    messages = Message.objects.visible()
    if account_ids is not None:
        messages = messages.filter(account_id__in=account_ids)
    folders = _folder_conditions(seen, query.folders)
    if query.contradicts or folders is None or account_ids == []:
        return None
    conditions, is_few_filed = folders
    messages = messages.filter(*conditions)
    if query.is_unread is not None:
        messages = messages.filter(seen=not query.is_unread)
    if query.is_flagged is not None:
        messages = messages.filter(flagged=query.is_flagged)
    if query.larger is not None:
        messages = messages.filter(size__gt=query.larger)
    if query.at_most is not None:
        messages = messages.filter(size__lte=query.at_most)
    begin, end = _midnight(query.from_day), _midnight(query.before_day)
    if begin:
        messages = messages.filter(received_at__gte=begin)
    if end:
        messages = messages.filter(received_at__lt=end)
    return _Plan(
        match=match_of(query, account_ids),
        messages=messages,
        may_be_few=is_few_filed or query.is_unread is True or query.is_flagged is True,
        from_key=first_key(begin) if begin else LOWEST_KEY,
        below=first_key(end) if end else HIGHEST_KEY,
    )


def _without(seen: AccountQuerySet, off: set[int]) -> AccountQuerySet:
    """The accounts without those in `off`, where reading or searching is off. Raises FeatureOff if none is left."""
    left = seen.exclude(pk__in=off)
    if seen.exists() and not left.exists():
        raise features.refused(Feature.INBOX_SEARCH, None)
    return left


def _midnight(day: date | None) -> datetime | None:
    return timezone.make_aware(datetime.combine(day, time.min)) if day else None


def _account_ids(accounts: Iterable[tuple[int, str, str]], names: Sequence[AccountOrFolderName]) -> list[int]:
    """The pks of accounts whose address or display name contains every name, and none of the negated ones."""
    found = []
    for pk, email, display_name in accounts:
        called = f"{email}\n{display_name}".casefold()
        if all((name.text.casefold() in called) != name.is_negated for name in names):
            found.append(pk)
    return sorted(set(found))


def _folder_conditions(
    accounts: Iterable[Account], names: Sequence[AccountOrFolderName]
) -> tuple[list[Q], bool] | None:
    """One condition per name, and whether they leave at most FEW messages. None if no folder has a wanted name."""
    if not names:
        return [], False
    columns = ("pk", "is_label", "name", "delimiter", "special_use")
    folders = list(Folder.objects.filter(account__in=accounts).values_list(*columns))
    conditions: list[Q] = []
    is_few = False
    for name in names:
        wanted = name.text.casefold()
        called = [row for row in folders if wanted in _folder_names(*row[2:])]
        if not called and not name.is_negated:
            return None
        carried = {label_of(row[2], row[4]) for row in called if row[1]}
        places = in_or_carrying([row[0] for row in called], sorted(carried), accounts)
        lies_there = Q(Exists(places.filter(message=OuterRef("pk"))))
        if name.is_negated:
            conditions.append(~lies_there)
            continue
        pks = list(places.order_by().values_list("message_id", flat=True)[: FEW + 1])
        is_few = is_few or len(pks) <= FEW
        conditions.append(Q(pk__in=pks) if len(pks) <= FEW else lies_there)
    return conditions, is_few


def _folder_names(name: str, delimiter: str, special_use: str) -> set[str]:
    """The names by which a folder is found: its whole name, its last part, its special use ("sent" for \\Sent)."""
    whole = name.casefold()
    last = whole.rsplit(delimiter, 1)[-1] if delimiter else whole
    return {whole, last, special_use.casefold().lstrip("\\")} - {""}


def _few(plan: _Plan) -> list[int] | None:
    """The pks of all messages that satisfy everything but the words; None if they are more than FEW."""
    pks = list(plan.messages.order_by("-received_at", "-pk").values_list("pk", flat=True)[: FEW + 1])
    return pks if len(pks) <= FEW else None


def _hits_of(pks: Sequence[int], below: int) -> list[Hit]:
    found = MessageSearch.objects.filter(message_id__in=pks).values_list("sort_key", "message_id")
    return sorted((hit for hit in found if hit[0] < below), reverse=True)


def _page_of_hits(plan: _Plan, match: Match, below: int, limit: int, is_listed: bool) -> SearchPage:
    """Query the index in growing steps, newest first, until the page is full or LOOKED_AT hits were checked."""
    found: list[Hit] = []
    rows = _rows(is_listed=is_listed)
    looked_at, step = 0, limit + 1
    while True:
        answer = find(match, below, plan.from_key, step)
        looked_at += step
        found += _allowed(plan, answer.hits)
        if len(found) > limit or answer.resume is None:
            return _page(rows, found, limit)
        below = answer.resume
        if looked_at >= LOOKED_AT or not answer.hits:
            return _page(rows, found, limit, below)
        step = min(4 * step, 5_000)


def _allowed(plan: _Plan, hits: Sequence[Hit]) -> list[Hit]:
    allowed: set[int] = set()
    for start in range(0, len(hits), ASKED_AT_ONCE):
        pks = [pk for _, pk in hits[start : start + ASKED_AT_ONCE]]
        allowed.update(plan.messages.filter(pk__in=pks).order_by().values_list("pk", flat=True))
    return [hit for hit in hits if hit[1] in allowed]


def _page(listed: MessageQuerySet, found: Sequence[Hit], limit: int, stopped_at: int | None = None) -> SearchPage:
    """The page of the first `limit` hits. It has a next one if there are more hits, or if the search stopped early."""
    by_pk = listed.in_bulk([pk for _, pk in found[:limit]])
    rows = tuple(by_pk[pk] for _, pk in found[:limit] if pk in by_pk)
    last = found[limit - 1][0] if len(found) > limit else stopped_at
    return SearchPage(rows, None if last is None else moment_and_pk_of(last))


def _page_of_messages(plan: _Plan, limit: int, before: ListPosition | None, is_listed: bool) -> SearchPage:
    """The page for a query without words, by the database indexes of messages (all, unread, flagged, by account)."""
    rows = _rows(plan.messages, is_listed=is_listed)
    few = _few(plan) if plan.may_be_few else None
    rows = rows.filter(pk__in=few) if few is not None else rows
    if before:
        rows = rows.filter(Q(received_at__lte=before[0]) & (Q(received_at__lt=before[0]) | Q(pk__lt=before[1])))
    found = list(rows.order_by("-received_at", "-pk")[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    return SearchPage(tuple(found[:limit]), (last.received_at, last.pk) if last else None)


def _rows(messages: MessageQuerySet | None = None, *, is_listed: bool = True) -> MessageQuerySet:
    """Rows without bodies; if `is_listed`, with team marks and `body_start`, the source of highlight.excerpt."""
    chosen = Message.objects.all() if messages is None else messages
    if not is_listed:
        return chosen.listed().select_related("account")
    rows = chosen.listed().select_related("account", "team_mark__assigned_to")
    return rows.annotate(body_start=Substr(F("body_text"), 1, EXCERPT_SOURCE))
