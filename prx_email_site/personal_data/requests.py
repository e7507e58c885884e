"""Begins a search, confirms an erasure, and ends both; an erasure ends with a signed report."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext_noop

from mailbox.completeness import signature
from mailbox.db.ignoring_case import equals
from mailbox.messages.legal_holds import LegalHolds
from mailbox.mime.addresses import spellings
from mailbox.models import Account, AccountAlias, AuditEntry, Export, PersonSearch
from mailbox.queueing import queue
from prx_email_site.personal_data import address as addresses
from prx_email_site.personal_data.tables import TABLES, Way

State = PersonSearch.State
KEPT = timedelta(days=1)  # how long a search without an erasure is kept
HELD = gettext_noop("A legal hold stands on this address: release it first (page Retention).")
OWN = gettext_noop("It is the address of an account here: delete the account, which removes its mail.")
NOT_COUNTED = gettext_noop("It was not looked for to the end, or is erased already.")


class RemovalRefused(Exception):
    """The erasure is refused. str() is one of the sentences HELD, OWN, NOT_COUNTED."""


def begin(address: str, user: User | None, key: uuid.UUID, now: datetime) -> PersonSearch:
    """Create a search and queue it; the same form sent twice makes one search. address: as normal() returns it."""
    values: dict[str, Any] = {"address": address, "digest": addresses.digest(address), "asked_at": now, "moved_at": now}
    with transaction.atomic():
        search, is_new = PersonSearch.objects.get_or_create(key=key, user=user, defaults=values)
        if is_new:
            _record("person_looked_for", search, user)
            queue_slice(search.pk)
    return search


def queue_slice(search_id: int) -> None:
    """Queue the next slice of a search for when the present transaction commits."""
    queue("prx_email_site.personal_data.tasks.person_slice", search_id, group="person")


def why_not(address: str) -> str:
    """The sentence that says why the address cannot be erased; "" if it can."""
    if address in LegalHolds.standing().addresses:
        return HELD
    own = any(
        model.objects.filter(equals("email", each)).exists()
        for model in (Account, AccountAlias)
        for each in spellings(address)
    )
    return OWN if own else ""


def confirm(search: PersonSearch, user: User | None, *, mentions: bool, now: datetime) -> None:
    """Have workers erase the data, including data that was stored after the search. Raises RemovalRefused."""
    if search.state == State.COUNTED and (reason := why_not(search.address)):
        raise RemovalRefused(reason)
    begun: dict[str, Any] = {"state": State.ERASING, "confirmed_at": now, "moved_at": now, "mentions": mentions}
    anew: dict[str, Any] = {"table": 0, "after": None, "found": {}, "named": {}, "user": user}
    with transaction.atomic():
        if PersonSearch.objects.filter(pk=search.pk, state=State.COUNTED).update(**begun, **anew) != 1:
            raise RemovalRefused(NOT_COUNTED)
        _record("person_erase", search, user)
        queue_slice(search.pk)


def refuse(search: PersonSearch, why: str, now: datetime) -> None:
    """End an erasure because of a new legal hold; erased data stays erased, the rest is kept."""
    over: dict[str, Any] = {"state": State.REFUSED, "error": why, "finished_at": now, "address": ""}
    PersonSearch.objects.filter(pk=search.pk).update(**over)
    _record("person_refused", search, search.user)


def finish(search: PersonSearch, now: datetime) -> bool:
    """End a search or an erasure after all tables are done; returns False if another worker did so first."""
    here = PersonSearch.objects.filter(pk=search.pk, steps=search.steps, state=search.state)
    if search.state == State.COUNTING:
        return here.update(state=State.COUNTED, moved_at=now) == 1
    with transaction.atomic():
        # Exports may contain erased data, so all are deleted, also one that was asked for on a host whose clock is
        # ahead; people can make them again.
        ended = Export.objects.all().delete()[1].get("mailbox.Export", 0)
        document = signature.sign(_report(search, ended, now))
        over: dict[str, Any] = {"state": State.ERASED, "finished_at": now, "moved_at": now, "address": ""}
        if here.update(**over, document=document) != 1:
            transaction.set_rollback(True)
            return False
        _record("person_erased", search, search.user)
    return True


def _report(search: PersonSearch, exports: int, now: datetime) -> dict[str, Any]:
    reasons = {table.label: table.why for table in TABLES if table.way == Way.KEEP and table.label in search.found}
    return {
        "person": search.digest,
        "asked_at": search.asked_at.isoformat(),
        "confirmed_at": search.confirmed_at.isoformat() if search.confirmed_at else None,
        "confirmed_by": search.user.get_username() if search.user else None,
        "finished_at": now.isoformat(),
        "with_mentions": search.mentions,
        "tables": search.found,
        "stays": search.named,
        "kept_because": reasons,
        "exports_ended": exports,
    }


def _record(verb: str, search: PersonSearch, user: User | None) -> None:
    """Record an audit entry, which names the person by the digest and never by the address."""
    sums: dict[str, int] = {}
    for counts in search.found.values():
        for outcome, number in counts.items():
            sums[outcome] = sums.get(outcome, 0) + number
    said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(sums.items()))
    detail = f"{search.digest}: {said}" if said else search.digest
    AuditEntry.objects.create(user=user, verb=verb, target=f"person:{search.pk}", detail=detail)
