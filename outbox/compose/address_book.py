"""Address completion: a scheduled task gathers addresses from received and written mail; `suggest` finds by prefix."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q

from mailbox import features
from mailbox.mime.addresses import read, same
from mailbox.models import Message
from mailbox.permissions import accounts_for
from outbox.models import AddressCursor, KnownAddress, OutboxMessage

AT_ONCE = 500
# A primary key is assigned before its row is committed, so a row may appear behind the cursor; younger rows wait.
SETTLED_AFTER = timedelta(minutes=5)
BUDGET_SECONDS = 5.0
SHORTEST = 2  # characters typed
LOOKED_AT = 200  # matches read for each column; the most recent of them are offered
_LONGEST = {"address": 320, "name": 200}
Seen = dict[tuple[int, str], tuple[str, datetime]]  # (account pk, address) -> (name, time of its newest mail)


def suggest(user: User, typed: str, account_id: int | None = None, limit: int = 8) -> list[KnownAddress]:
    """The known addresses, of accounts the user may see, whose address or name begins with `typed`; newest first.

    Accounts whose received mail may not be read are left out, as their addresses are those of its senders."""
    prefix = typed.strip().lower().replace("\0", "")[:100]
    if len(prefix) < SHORTEST:
        return []
    accounts, off = accounts_for(user), features.unreadable_to(user)
    seen = KnownAddress.objects.filter(account__in=accounts.exclude(pk__in=off) if off else accounts)
    if account_id:
        seen = seen.filter(account=account_id)
    found = [*seen.filter(_begins("address", prefix)).order_by("address")[:LOOKED_AT]]
    found += seen.filter(_begins("name_key", prefix)).order_by("name_key")[:LOOKED_AT]
    found.sort(key=lambda each: each.last_at, reverse=True)
    return list({each.address: each for each in reversed(found)}.values())[::-1][:limit]


def _begins(field: str, prefix: str) -> Q:
    if connection.vendor == "postgresql":
        return Q(**{f"{field}__startswith": prefix})
    # SQLite's LIKE ignores case, so no index serves it.
    return Q(**{f"{field}__gte": prefix, f"{field}__lt": f"{prefix}\U0010ffff"})


def gather(now: datetime) -> int:
    """Read rows from the cursors on for BUDGET_SECONDS; returns how many rows were read."""
    ends_at, read = time.monotonic() + BUDGET_SECONDS, 0
    while time.monotonic() < ends_at:
        number = _received(now) + _written(now)
        read += number
        if not number:
            break
    return read


def _received(now: datetime) -> int:
    begun = AddressCursor.current().message_id
    columns = ("pk", "account_id", "sender", "received_at", "recipients", "cc", "created_at")
    window = _settled(list(Message.objects.filter(pk__gt=begun).order_by("pk").values_list(*columns)[:AT_ONCE]), now)
    seen: Seen = {}
    for _pk, account_id, sender, at, recipients, cc, _created in window:
        _note(seen, account_id, [sender[:2_000], recipients[:10_000], cc[:10_000]], at)
    return _store(seen, "message_id", begun, window)


def _written(now: datetime) -> int:
    begun = AddressCursor.current().outbox_id
    columns = ("pk", "account_id", "to", "cc", "bcc", "created_at")
    rows = OutboxMessage.objects.filter(pk__gt=begun).order_by("pk")
    window = _settled(list(rows.values_list(*columns)[:AT_ONCE]), now)
    seen: Seen = {}
    for _pk, account_id, to, cc, bcc, at in window:
        _note(seen, account_id, [to, cc, bcc], at)
    return _store(seen, "outbox_id", begun, window)


def _settled(window: list[tuple[Any, ...]], now: datetime) -> list[tuple[Any, ...]]:
    """The rows before the first one that is younger than SETTLED_AFTER. Their last column is `created_at`."""
    kept = []
    for row in window:
        if row[-1] >= now - SETTLED_AFTER:
            break
        kept.append(row)
    return kept


def _note(seen: Seen, account_id: int, headers: Iterable[str], at: datetime) -> None:
    mailboxes = [each for header in headers if header for each in read(header, is_decoded=True)]
    for each in mailboxes[:100]:
        address = same(each.address)
        if not each.has_domain or len(address) > _LONGEST["address"] or not address.isprintable():
            continue
        known = seen.get((account_id, address))
        if known is None or known[1] <= at:
            name = each.name[: _LONGEST["name"]]
            seen[account_id, address] = (name or (known[0] if known else ""), at)


def _store(seen: Seen, cursor: str, begun: int, window: list[tuple[Any, ...]]) -> int:
    """Save the addresses and move the cursor in one transaction; returns how many rows were read.

    Saves nothing and returns 0 if another sweep has moved the cursor from `begun` meanwhile.
    """
    if not window:
        return 0
    rows = [
        KnownAddress(
            account_id=account_id, address=address, name=name, name_key=name.lower()[: _LONGEST["name"]], last_at=at
        )
        # Sorted, so that two sweeps lock rows in the same order and cannot deadlock.
        for (account_id, address), (name, at) in sorted(seen.items())
    ]
    with transaction.atomic():
        here = AddressCursor.objects.filter(**{"pk": 1, cursor: begun})
        if here.update(**{cursor: window[-1][0]}) != 1:
            return 0
        KnownAddress.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["account", "address"],
            update_fields=["name", "name_key", "last_at"],
            batch_size=AT_ONCE,
        )
    return len(window)
