"""Goes through all tables in small batches, and counts the rows that contain the address or erases it.

Candidates are read outside of a transaction, a range of pks at a time. A short transaction then checks them again under
their locks, reads the legal holds again, changes the rows and saves the progress of the search.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.db.models import JSONField, Model, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from mailbox.db.deadlocks import committed
from mailbox.db.ignoring_case import contains
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import PersonSearch
from mailbox.resting_batches import RestingBatches
from prx_email_site.personal_data import removal
from prx_email_site.personal_data.address import stands_in, ways
from prx_email_site.personal_data.decisions import STAYS, ErasureOutcome, decide
from prx_email_site.personal_data.facts import facts_of
from prx_email_site.personal_data.requests import HELD, finish, refuse
from prx_email_site.personal_data.tables import TABLES, PersonalTable, Way

State = PersonSearch.State
STRETCH = 2_000  # pks that one query searches
BATCH = 200  # rows in a transaction, at most
SLICE_SECONDS = 20.0
NAMED = 100  # pks of rows that stay which are listed, for each table and reason


def model_of(table: PersonalTable) -> type[Model]:
    """The model of a table. Raises LookupError for an unknown label."""
    return apps.get_model(table.label)


def candidates(table: PersonalTable, address: str, after: Any, most: int = BATCH) -> tuple[list[Any], Any, bool]:
    """(pks of rows that may contain the address, at most `most`; the last pk that was searched; whether the table ends)

    after: the pk after which to begin, None for the beginning of the table.
    """
    rows = model_of(table)._base_manager.order_by("pk")
    rows = rows if after is None else rows.filter(pk__gt=after)
    stretch = list(rows.values_list("pk", flat=True)[:STRETCH])
    if not stretch:
        return [], after, True
    found = _containing(rows.filter(pk__lte=stretch[-1]), table, address)
    keys = list(found.values_list("pk", flat=True)[: most + 1])
    if len(keys) > most:
        return keys[:most], keys[most - 1], False
    return keys, stretch[-1], len(stretch) < STRETCH


def _containing(rows: QuerySet[Any], table: PersonalTable, address: str) -> QuerySet[Any]:
    """The rows with the address as a substring, by the database; the caller checks that it is the whole address."""
    written = dict.fromkeys(each for way in ways(address) for each in (way, json.dumps(way)[1:-1]))
    conditions = []
    for name in (*table.columns, *table.mentions):
        column = name
        if isinstance(rows.model._meta.get_field(name), JSONField):
            column = f"_{name}_text"
            rows = rows.alias(**{column: Cast(name, TextField())})
        conditions += [contains(column, way) for way in written]
    return rows.filter(reduce(or_, conditions))


def run(
    search: PersonSearch,
    *,
    seconds: float = SLICE_SECONDS,
    now: Callable[[], datetime] = timezone.now,
    batches: RestingBatches | None = None,
) -> None:
    """Continue a search or an erasure for `seconds`, at least for one batch."""
    batches = batches or RestingBatches(most=BATCH)
    ends = batches.clock() + seconds
    while search.state in (State.COUNTING, State.ERASING):
        if not _step(search, now(), batches) or batches.clock() > ends:
            return
        search.refresh_from_db()


def _step(search: PersonSearch, now: datetime, batches: RestingBatches) -> bool:
    """Do one batch, and rest after it; returns False if another worker has continued the search meanwhile."""
    if search.table >= len(TABLES):
        return finish(search, now)
    table = TABLES[search.table]
    keys, reached, is_last = candidates(table, search.address, search.after, batches.rows)
    place = {"table": search.table + 1, "after": None} if is_last else {"after": reached}
    began = batches.clock()
    is_ours = _done(search, table, keys, place, now)
    if is_ours:
        batches.rest(len(keys), batches.clock() - began)
    return is_ours


def _done(search: PersonSearch, table: PersonalTable, keys: list[Any], place: dict[str, Any], now: datetime) -> bool:
    """Count or erase these rows, and move the search on to `place`, in one transaction."""
    is_erasing = search.state == State.ERASING
    if is_erasing and keys and table.way == Way.SENT:
        removal.store_tombstone()

    def step() -> bool:
        here = PersonSearch.objects.filter(pk=search.pk, steps=search.steps, state=search.state)
        if here.update(steps=search.steps + 1, moved_at=now, **place) != 1:
            return False
        legal_holds = LegalHolds.until_commit() if is_erasing and keys else LegalHolds.standing()
        if is_erasing and search.address in legal_holds.addresses:
            refuse(search, HELD, now)
            return True
        _note(search, table, _decided(search, table, keys, legal_holds, now))
        return True

    return committed(step)


def _decided(
    search: PersonSearch, table: PersonalTable, keys: Sequence[Any], legal_holds: LegalHolds, now: datetime
) -> dict[ErasureOutcome, list[Any]]:
    """The rows by outcome. If the search is erasing, the outcomes are carried out."""
    chosen: dict[ErasureOutcome, list[Any]] = defaultdict(list)
    if not keys:
        return chosen
    is_erasing, address = search.state == State.ERASING, search.address
    rows = model_of(table)._base_manager.filter(pk__in=keys).order_by("pk")
    rows = rows.select_for_update(of=("self",)) if is_erasing else rows
    there = [row for row in rows if _stands_in(row, (*table.columns, *table.mentions), address)]
    theirs = {row.pk for row in there if _stands_in(row, table.columns, address)}
    for row, facts in zip(there, facts_of(there, theirs, address, legal_holds), strict=True):
        chosen[decide(table.way, facts, now, mentions=search.mentions)].append(row)
    if is_erasing:
        _erase(table, chosen, address)
    return chosen


def _stands_in(row: Model, columns: Sequence[str], address: str) -> bool:
    return any(stands_in(address, getattr(row, name)) for name in columns)


def _erase(table: PersonalTable, chosen: dict[ErasureOutcome, list[Any]], address: str) -> None:
    for outcome, rows in chosen.items():
        if outcome == ErasureOutcome.REMOVED:
            removal.remove(table, rows)
        elif outcome == ErasureOutcome.MASKED:
            removal.mask(table, rows, address)
        elif outcome in (ErasureOutcome.EMPTIED, ErasureOutcome.KEY):
            removal.empty(rows, address, with_key=outcome == ErasureOutcome.EMPTIED)


def _note(search: PersonSearch, table: PersonalTable, chosen: dict[ErasureOutcome, list[Any]]) -> None:
    if not chosen:
        return
    counts, named = dict(search.found.get(table.label, {})), dict(search.named.get(table.label, {}))
    for outcome, rows in chosen.items():
        counts[outcome] = counts.get(outcome, 0) + len(rows)
        if outcome in STAYS:
            named[outcome] = [*named.get(outcome, []), *(row.pk for row in rows)][:NAMED]
    values: dict[str, Any] = {"found": search.found | {table.label: counts}}
    values["named"] = search.named | ({table.label: named} if named else {})
    PersonSearch.objects.filter(pk=search.pk).update(**values)
