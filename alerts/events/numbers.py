"""Numbers events, and reads them in the order of their numbers.

An automatic primary key is given at insert, not at commit: on PostgreSQL an event with a lower key may become visible
after one with a higher key, and a reader that goes on after the higher key would never see it. So committed events are
numbered afterwards, under one lock, before they are read: an event that a reader has not seen yet has a higher number
than all that it has seen.
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
# These set the account of newly numbered events whose trigger did not know it. If the outbox row or transport has been
# deleted meanwhile, the account stays NULL, and nobody may see the event.
OF_OUTBOX = """UPDATE events SET account_id = (SELECT account_id FROM outbox WHERE outbox.id = events.outbox_pk)
WHERE number > %s AND account_id IS NULL AND outbox_pk IS NOT NULL"""
OF_TRANSPORT = """UPDATE events SET account_id = (SELECT id FROM accounts
WHERE accounts.imap_id = events.transport_pk OR accounts.smtp_id = events.transport_pk)
WHERE number > %s AND account_id IS NULL AND transport_pk IS NOT NULL"""


def give() -> int:
    """Number the committed events that have no number yet; return the last number."""
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
    """The last number that was given; 0 before the first."""
    return EventNumbers.objects.filter(pk=1).values_list("last", flat=True).first() or 0


def after(number: int, accounts: Collection[int], kinds: Sequence[str] | None, limit: int) -> list[Event]:
    """The events after this number, of these accounts and kinds (None: all), in order. Call `give` before."""
    rows = Event.objects.filter(number__gt=number, account__in=accounts)
    return list((rows if kinds is None else rows.filter(kind__in=kinds)).order_by("number")[:limit])


def oldest() -> int | None:
    """The lowest number of the stored events; None when there are none."""
    return Event.objects.exclude(number=None).order_by("number").values_list("number", flat=True).first()


def account_keys() -> set[int]:
    """The pks of all accounts: `after` is limited to accounts that exist."""
    return set(Account.objects.values_list("pk", flat=True))


def forget(before: datetime) -> int:
    """Delete numbered events from before this time, delivered or not, with their deliveries; return how many rows.

    In small transactions, as the first sync of a large mailbox may have made a million events in one day.
    """
    removed = 0
    old = Event.objects.filter(created_at__lt=before).exclude(number=None).order_by("number")
    while found := list(old.values_list("number", flat=True)[:AT_ONCE]):
        these = Event.objects.filter(number__gte=found[0], number__lte=found[-1], created_at__lt=before)
        with transaction.atomic():
            WebhookDelivery.objects.filter(event__in=these).delete()
            removed += these.delete()[0]
    return removed
