"""Run inside an installation, by Site.inside(): rows to send, the moment they are due, and what became of them."""

from __future__ import annotations

import time
from collections import Counter
from unittest import mock

from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone
from django_q.models import OrmQ

from mailbox.models import Account, WorkerHeartbeat
from outbox import api, restore_guard
from outbox.delivery import claims
from outbox.delivery import deliver as delivery_deliver
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient, SendingSwitch
from outbox.tasks import delivery as delivery_tasks


def queue_rows(account_ids: list[int], mails: list[tuple[str, str]], text: str) -> None:
    """Write the mails down, in turns over accounts that are paused: nobody begins before make_due()."""
    Account.objects.update(sending_paused_at=timezone.now())
    for start in range(0, len(mails), 100):
        # What is only prepared need not survive a power cut, nor wake workers: that takes many times as long.
        with mock.patch("os.fsync"), mock.patch("outbox.tasks.delivery.queue_delivery"), transaction.atomic():
            for number, (to, subject) in enumerate(mails[start : start + 100]):
                answer = api.queue(account_ids[number % len(account_ids)], to, subject, text)
                if not answer.ok:
                    raise RuntimeError(str(answer.error))
    wait_for_quiet()


def wait_for_quiet(seconds: float = 60) -> None:
    """Until the workers, if there are any, have nothing left that was queued before."""
    end = time.monotonic() + seconds
    while WorkerHeartbeat.objects.exists() and OrmQ.objects.exists() and time.monotonic() < end:
        time.sleep(0.05)
    OrmQ.objects.all().delete()
    time.sleep(1)  # the last of them may be at it still


def make_due() -> float:
    """The accounts may send, and the sweep finds what is due, as it does each half minute; the time when it did."""
    begin = time.monotonic()
    Account.objects.update(sending_paused_at=None)
    delivery_tasks.sweep()
    return begin


def join_as_host() -> None:
    """What a new host does first, and the click that it takes: it asks whether it is a copy that sends as well."""
    restore_guard.check(timezone.now())
    SendingSwitch.objects.update(paused_at=None)


def deliver(account_id: int) -> float:
    """What a worker runs for an account, here and now until nothing is due; the time at which it began."""
    Account.objects.update(sending_paused_at=None)
    begin = time.monotonic()
    while delivery_deliver.deliver_account(account_id).more_due:
        pass
    return begin


def outcomes() -> dict[str, int]:
    """How many rows there are of each state."""
    return dict(Counter(OutboxMessage.objects.values_list("status", flat=True)))


def wait_until_settled(seconds: float = 60) -> dict[str, int]:
    """Until no row is being sent; how many rows there are of each state."""
    end = time.monotonic() + seconds
    while (found := outcomes()).keys() - {"sent"} and time.monotonic() < end:
        time.sleep(0.05)
    return found


# --- A claim among many rows that are sent ----------------------------------------------------------------------
def make_sent(count: int) -> None:
    """Of the two rows there are, make the first sent, with its attempt, and copy it so often; the second is due."""
    base = OutboxMessage.objects.order_by("pk")[0]
    now = timezone.now()
    OutboxMessage.objects.filter(pk=base.pk).update(status="sent", sent_at=now, last_attempt=1)
    DeliveryAttempt.objects.create(
        outbox=base, number=1, claim_token="bench", worker="bench", message_id="<bench>", prx_attempt="bench",
        phase="accepted", outcome="accepted", started_at=now, finished_at=now,
    )  # fmt: skip
    _copy_rows(base.pk, count)
    _copy_below(OutboxRecipient, base.pk, {})
    _copy_below(DeliveryAttempt, base.pk, {"claim_token": f"{_quoted('bench-')} || o.id"})
    with connection.cursor() as cursor:  # as its own clock would, by and by
        cursor.execute("ANALYZE" if connection.vendor == "postgresql" else "PRAGMA optimize")


def _columns(model: type[Model], left_out: set[str]) -> list[str]:
    return [str(field.column) for field in model._meta.concrete_fields if field.column not in {"id", *left_out}]


def _quoted(text: str) -> str:
    return f"'{text}'"


def _copy_rows(pk: int, count: int) -> None:
    names = ", ".join(f'"{column}"' for column in _columns(OutboxMessage, set()))
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
    insert = f"INSERT INTO outbox ({names})"
    select = f"{numbers} SELECT {', '.join(f'o.{name}' for name in names.split(', '))} FROM outbox o, n WHERE o.id = %s"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{insert} {select}", [count, pk])


def _copy_below(model: type[Model], pk: int, changed: dict[str, str]) -> None:
    """The base row's row of this table, for each copy; it comes after both rows that were there."""
    names = _columns(model, {"outbox_id"})
    table = model._meta.db_table
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changed.get(name, f'r."{name}"') for name in names)
    sql = f"INSERT INTO {table} (outbox_id, {columns}) SELECT o.id, {values} FROM outbox o, {table} r"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{sql} WHERE r.outbox_id = %s AND o.status = 'sent' AND o.id > %s", [pk, pk])


def claims_of_one(account_id: int, count: int) -> list[float]:
    """Seconds of each claim of the one due row, which is given back after each."""
    Account.objects.update(sending_paused_at=None)
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        claim = claims.claim_next(account_id, "bench", lease_seconds=90, now=timezone.now())
        seconds.append(time.perf_counter() - begin)
        if claim is None:
            raise RuntimeError("The due row was not claimed.")
        DeliveryAttempt.objects.filter(outbox_id=claim.outbox_id).delete()
        OutboxMessage.objects.filter(pk=claim.outbox_id).update(status="pending", **claims.UNCLAIMED)
    return seconds
