"""django-q2's entry points for delivery, and the functions that queue them. Arguments are ids only.

django-q2 is only a clock and a process pool. The database is the truth: each task may run twice or be killed at any
instruction, and sweep() finds the rows that a lost task should have handled.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from mailbox import network
from mailbox.accounts import connection_tests
from mailbox.db.errors import DATABASE_TROUBLE
from mailbox.logs import event
from mailbox.models import Account, Transport
from mailbox.queueing import may_wait, queue
from mailbox.signals import delivery_ended
from mailbox.storage import store_check
from outbox import connection_test, restore_guard
from outbox.delivery import clock_ahead, recovery
from outbox.delivery import deliver as delivery_deliver
from outbox.delivery import worker as delivery_worker
from outbox.models import DeliveryCall, OutboxMessage
from outbox.tasks import sent_folder as sent_folder_tasks

logger = logging.getLogger(__name__)
CALL_SECONDS = 30.0  # a queued delivery task that has not begun after this time is taken for lost


_runner = delivery_worker.DeliveryRunner(
    after=sent_folder_tasks.queue_after_delivery,
    call=lambda: _call_for_delivery(),
    may_wait=may_wait,
)


def deliver() -> dict[str, int]:
    """Deliver due rows of all accounts, within a budget; queue another delivery if some are left."""
    if network.is_off() or not store_check.is_usable():
        return {"attempted": 0, "sent": 0}
    restore_guard.look(timezone.now())
    report = _runner.run(delivery_deliver.BUDGET_SECONDS, ahead=settings.OUTBOX_AHEAD_SECONDS)
    if report.attempted:
        delivery_ended.send_robust(sender=OutboxMessage)
    if report.more_due:
        _call_for_delivery()
    return {"attempted": report.attempted, "sent": report.sent}


def deliver_account(account_id: int) -> dict[str, int]:
    """deliver(). Former versions queued this for one account; any delivery finds that account's rows as well."""
    return deliver()


def sweep() -> dict[str, int]:
    """Every half minute (two schedules): recover lapsed claims, and queue a delivery if mail is due or will be soon."""
    now = timezone.now()
    restore_guard.check(now)
    clock_ahead.cut(now)
    given_back, uncertain = recovery.recover(now)
    recovery.lift_outdated_sign_in_holds(now)
    ahead = timedelta(seconds=settings.OUTBOX_AHEAD_SECONDS)
    account_ids = [] if network.is_off() else delivery_deliver.accounts_with_due_rows(now + ahead)
    if account_ids:
        _call_for_delivery(forget_after=0)
    return {"given_back": given_back, "uncertain": uncertain, "queued": len(account_ids)}


def run_connection_test(test_id: int) -> None:
    """Sign in on both transports of a ConnectionTest and save the replies. If SMTP works, deliver the waiting mail."""
    test = connection_test.run(test_id)
    if test is None:
        return
    connection_tests.begin_next()
    if test.smtp_ok and OutboxMessage.objects.due(timezone.now()).filter(account_id=test.account_id).exists():
        queue_delivery()


def queue_delivery() -> None:
    """Queue a delivery of due rows of all accounts, for when the present transaction commits."""
    transaction.on_commit(_call_for_delivery)


def queue_delivery_at(due: datetime) -> None:
    """queue_delivery() for mail that becomes due at `due`, if that is soon; else a later sweep queues it."""
    if due <= timezone.now() + timedelta(seconds=settings.OUTBOX_AHEAD_SECONDS):
        queue_delivery()


def queue_connection_test(test_id: int) -> None:
    """Queue a ConnectionTest for when the present transaction commits."""
    _queue("run_connection_test", test_id)


def queue_sign_in_recovered(account_id: int) -> None:
    """After a change of SMTP credentials: clear the refusal and the backoff, lift sign-in holds, queue a delivery."""
    with transaction.atomic():
        smtp = Account.objects.filter(pk=account_id).values("smtp_id")
        parked = Q(needs_sign_in_since__isnull=False) | Q(next_allowed_at__isnull=False) | Q(failure_count__gt=0)
        Transport.objects.filter(parked, pk__in=smtp).update(
            needs_sign_in_since=None, next_allowed_at=None, failure_count=0
        )
        recovery.lift_sign_in_holds(account_id, timezone.now())
        queue_delivery()


def _call_for_delivery(forget_after: float = CALL_SECONDS) -> None:
    """Raises nothing: the mail is committed, and who is told that it failed queues it once more. A sweep finds it."""
    try:
        is_ours = DeliveryCall.make(timezone.now(), forget_after=forget_after)
    except DATABASE_TROUBLE as error:
        return event(logger, "task_not_queued", logging.WARNING, task="outbox.tasks.deliver", error=str(error))
    if is_ours:
        _queue("deliver")
    return None


def _queue(name: str, *ids: int) -> None:
    task_name = f"{name} {' '.join(map(str, ids))}"
    queue(f"outbox.tasks.{name}", *ids, task_name=task_name, timeout=settings.TASK_TIMEOUT_SECONDS)
