"""Asking for a search, confirming an erasure, and its end: the signed report."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext_noop

from mailbox.completeness import signature
from mailbox.models import Account, AccountAlias, AuditEntry, Export, LegalHold, PersonSearch
from mailbox.queueing import queue
from prx_email_site.personal_data import address as addresses
from prx_email_site.personal_data.tables import TABLES, Way

State = PersonSearch.State
KEPT = timedelta(days=1)  # an address that was looked for and not erased
HELD = gettext_noop("A legal hold stands on this address: release it first (page Retention).")
OWN = gettext_noop("It is the address of an account here: delete the account, which removes its mail.")
NOT_COUNTED = gettext_noop("It was not looked for to the end, or is erased already.")


class RemovalRefused(Exception):
    """str() is a sentence of HELD and so on."""


def begin(address: str, user: User | None, key: uuid.UUID, now: datetime) -> PersonSearch:
    """Have workers look for it; the same page sent twice is one search. `address`: as addresses.normal() has it."""
    values: dict[str, Any] = {"address": address, "digest": addresses.digest(address), "asked_at": now, "moved_at": now}
    with transaction.atomic():
        search, is_new = PersonSearch.objects.get_or_create(key=key, user=user, defaults=values)
        if is_new:
            _record("person_looked_for", search, user)
            queue_slice(search.pk)
    return search


def queue_slice(search_id: int) -> None:
    """Go on with it, once the present transaction has committed."""
    queue("prx_email_site.personal_data.tasks.person_slice", search_id, group="person")


def why_not(address: str) -> str:
    """Why it cannot be erased; "" when it can."""
    if LegalHold.objects.standing().filter(address=address).exists():
        return HELD
    own = Account.objects.filter(email__iexact=address).exists() or AccountAlias.objects.filter(email__iexact=address)
    return OWN if own else ""


def confirm(search: PersonSearch, user: User | None, *, mentions: bool, now: datetime) -> None:
    """Have workers erase what was found, and what has come since. Raises Refused."""
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
    """A hold was put meanwhile: what is erased is erased, the rest stays."""
    over: dict[str, Any] = {"state": State.REFUSED, "error": why, "finished_at": now, "address": ""}
    PersonSearch.objects.filter(pk=search.pk).update(**over)
    _record("person_refused", search, search.user)


def finish(search: PersonSearch, now: datetime) -> bool:
    """All tables are done; False when another worker said so first."""
    here = PersonSearch.objects.filter(pk=search.pk, steps=search.steps, state=search.state)
    if search.state == State.COUNTING:
        return here.update(state=State.COUNTED, moved_at=now) == 1
    with transaction.atomic():
        # They may hold what is erased; whoever wants them asks again.
        ended = Export.objects.filter(asked_at__lte=now).delete()[1].get("mailbox.Export", 0)
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
    """Into the activity: the person by the digest, never by the address."""
    sums: dict[str, int] = {}
    for counts in search.found.values():
        for outcome, number in counts.items():
            sums[outcome] = sums.get(outcome, 0) + number
    said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(sums.items()))
    detail = f"{search.digest}: {said}" if said else search.digest
    AuditEntry.objects.create(user=user, verb=verb, target=f"person:{search.pk}", detail=detail)
