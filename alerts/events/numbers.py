"""The order of events, and reading them in it.

An automatic key says when an event was begun, not when it was committed: on PostgreSQL the event with the lower key may
become visible after the one with the higher, and a reader that goes on behind the higher would never see it. So what is
committed gets its number afterwards, under one lock, before anything is read: what a reader has not seen yet has
a higher number than all that it has seen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction

from alerts.models import Event, EventNumbers, WebhookDelivery
from mailbox.models import Account

AT_ONCE = 5000
NUMBER = """UPDATE events SET number = %s + ranked.place FROM
(SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM events WHERE number IS NULL ORDER BY id LIMIT %s) AS ranked
WHERE events.id = ranked.id"""
# Rows that do not name their account, of those just numbered. One that was deleted meanwhile leaves an event that
# nobody may see.
OF_OUTBOX = """UPDATE events SET account_id = (SELECT account_id FROM outbox WHERE outbox.id = events.outbox_pk)
WHERE number > %s AND account_id IS NULL AND outbox_pk IS NOT NULL"""
OF_TRANSPORT = """UPDATE events SET account_id = (SELECT id FROM accounts
WHERE accounts.imap_id = events.transport_pk OR accounts.smtp_id = events.transport_pk)
WHERE number > %s AND account_id IS NULL AND transport_pk IS NOT NULL"""


def give() -> int:
    """Number what is committed and has no number yet; the last number."""
    while Event.objects.filter(number=None).exists():
        with transaction.atomic():
            EventNumbers.objects.get_or_create(pk=1)
            numbers = EventNumbers.objects.select_for_update().get(pk=1)
            with connection.cursor() as cursor:
                cursor.execute(NUMBER, [numbers.last, AT_ONCE])
                if cursor.rowcount:
                    EventNumbers.objects.filter(pk=1).update(last=numbers.last + cursor.rowcount)
                    cursor.execute(OF_OUTBOX, [numbers.last])
                    cursor.execute(OF_TRANSPORT, [numbers.last])
    return last()


def last() -> int:
    """The last number given, 0 before the first."""
    return EventNumbers.objects.filter(pk=1).values_list("last", flat=True).first() or 0


def after(number: int, accounts: Collection[int], kinds: Sequence[str] | None, limit: int) -> list[Event]:
    """The events behind this number, of these accounts and kinds (None: all), in order. Call `give` before."""
    rows = Event.objects.filter(number__gt=number, account__in=accounts)
    return list((rows if kinds is None else rows.filter(kind__in=kinds)).order_by("number")[:limit])


def oldest() -> int | None:
    """The lowest number that is still kept."""
    return Event.objects.exclude(number=None).order_by("number").values_list("number", flat=True).first()


def account_keys() -> set[int]:
    return set(Account.objects.values_list("pk", flat=True))


def forget(before: datetime) -> int:
    """Remove events from before then, with their deliveries, whether or not they were delivered; how many. In small
    transactions: a first sync of a large mailbox leaves a million of one day."""
    removed = 0
    old = Event.objects.filter(created_at__lt=before).exclude(number=None).order_by("number")
    while found := list(old.values_list("number", flat=True)[:AT_ONCE]):
        these = Event.objects.filter(number__gte=found[0], number__lte=found[-1], created_at__lt=before)
        with transaction.atomic():
            WebhookDelivery.objects.filter(event__in=these).delete()
            removed += these.delete()[0]
    return removed
