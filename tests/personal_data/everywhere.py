"""A person who stands in every table that is looked into, and others beside."""

from __future__ import annotations

import uuid
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import CharField, JSONField, TextField
from django.utils import timezone

from alerts.models import Event
from mailbox.models import (
    Account,
    AuditEntry,
    PersonSearch,
    Quarantine,
    SavedFilters,
    TeamMark,
    TrustedSender,
)
from mailbox.search.index import index_messages
from outbox.models import DeliveryReport, Draft, KnownAddress, OutboxMessage, SavedReply, SuppressedAddress
from prx_email_site.personal_data import requests, walking
from prx_email_site.personal_data.address import stands_in
from prx_email_site.personal_data.tables import TABLES
from tests.rows import attempt, folder_of, letter, letter_with, outbox_row, store

EVE, OTHER = "eve@example.net", "steve@example.net"  # the one is a part of the other
NOW = timezone.now()


def sent(account: Account, to: str = EVE, **fields: Any) -> OutboxMessage:
    """A mail to the person, with an attempt that names them."""
    raw = letter_with(b"%PDF-1.4", "about eve.pdf")
    values: dict[str, Any] = {"status": "sent", "to": f"Eve Adams <{to.upper()}>", "sent_at": NOW} | fields
    row = outbox_row(account, f"For {to}", raw, **values)
    row.recipients.update(address=to.upper(), reply=f"250 <{to}> ok", status="accepted")
    attempt(row, reply=f"250 <{to}>", transcript=[{"command": f"RCPT TO:<{to}>", "reply": "250"}], outcome="accepted")
    return row


def fill(account: Account, user: User) -> None:
    """The person in most tables, and somebody whose address is longer."""
    for address in (EVE, OTHER):
        received = store(account, letter(f"From {address}", From=f"Eve <{address}>"))
        index_messages([received])
        store(account, letter("Of others", f"Ask {address} about it", From="ann@example.com", To="bob@example.com"))
        folder = folder_of(account)
        uid = 70_000 + len(address)
        Quarantine.objects.create(account=account, folder=folder, uid=uid, uidvalidity=1, error="x", sender=address)
        TeamMark.objects.create(message=received, note=f"{address} called")
        row = sent(account, address)
        DeliveryReport.objects.create(
            outbox=row, address=address, action="failed", words=f"<{address}> unknown", reported_at=NOW
        )
        Draft.objects.create(user=user, account=account, to=address, subject="Hello")
        Draft.objects.create(user=user, account=account, to="ann@example.com", body_text=f"As {address} says")
        KnownAddress.objects.create(account=account, address=address, name="Eve", last_at=NOW)
        SavedReply.objects.create(account=account, name=f"For {address}", text=f"Write to {address}.")
        SuppressedAddress.objects.create(account=account, address=address, reason="bounced")
        AuditEntry.objects.create(user=user, verb="send", target=f"outbox:{row.pk}", detail=f"to {address}, sent")
        TrustedSender.objects.create(user=user, address=address)
        Event.objects.create(kind="outbox.bounced", account=account, detail={"address": address})
    SavedFilters.objects.create(
        key="shared",
        filters=[{"page": "search", "query": f"q=from%3A{each.replace('@', '%40')}"} for each in (EVE, OTHER)],
    )


def searched(address: str = EVE, user: User | None = None) -> PersonSearch:
    """Looked for to the end."""
    return worked(requests.begin(address, user, uuid.uuid4(), NOW))


def worked(search: PersonSearch) -> PersonSearch:
    search.refresh_from_db()
    while search.state in (PersonSearch.State.COUNTING, PersonSearch.State.ERASING):
        walking.run(search)
        search.refresh_from_db()
    return search


def erased(address: str = EVE, *, mentions: bool = False, user: User | None = None) -> PersonSearch:
    search = searched(address, user)
    requests.confirm(search, user, mentions=mentions, now=NOW)
    return worked(search)


def where_it_stands(address: str) -> set[str]:
    """Every table and column of the whole database whose text holds the address."""
    found = set()
    for model in apps.get_models():
        fields = [each for each in model._meta.concrete_fields if isinstance(each, CharField | TextField | JSONField)]
        for row in model._base_manager.all():
            found |= {
                f"{model._meta.label}.{each.name}" for each in fields if stands_in(address, getattr(row, each.name))
            }
    return found


def keys_by_table(address: str) -> dict[str, int]:
    """How many rows of each table hold it."""
    return {
        table.label: number
        for table in TABLES
        if (
            number := sum(
                any(stands_in(address, getattr(row, name)) for name in (*table.columns, *table.mentions))
                for row in walking.model_of(table)._base_manager.all()
            )
        )
    }
