"""django-q2's entry points of the outbox, and the functions that queue them. Ids only.

django-q2 is a clock and a process pool, never the truth: each task may run twice or be killed at any instruction, and
what it forgets, sweep() finds.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from mailbox import network
from mailbox.accounts import connection_tests
from mailbox.models import Account, Transport
from mailbox.queueing import may_wait, queue
from mailbox.signals import delivery_ended
from mailbox.storage import store_check
from outbox import connection_check, restore_guard
from outbox.delivery import clock_ahead, recovery
from outbox.delivery import deliver as delivery_deliver
from outbox.delivery import worker as delivery_worker
from outbox.models import DeliveryCall, OutboxMessage
from outbox.tasks import sent_folder as sent_folder_tasks

CALL_SECONDS = 30.0  # after which a task that has not begun is taken for lost


_runner = delivery_worker.DeliveryRunner(
    after=sent_folder_tasks.queue_after_delivery,
    call=lambda: _call_for_delivery(),
    may_wait=may_wait,
)


def deliver() -> dict[str, int]:
    """Deliver what is due of all accounts, within a budget; queue the rest."""
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
    """What former versions queued for one account: whoever delivers finds its rows beside the others'."""
    return deliver()


def sweep() -> dict[str, int]:
    """Recover lapsed claims, and call a worker where mail is due or will be before the next sweep: each half minute,
    by two schedules."""
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
    """Log in on both transports of a ConnectionTest and keep the servers' words; then go on with what waits."""
    test = connection_check.run(test_id)
    if test is None:
        return
    connection_tests.begin_next()
    if test.smtp_ok and OutboxMessage.objects.due(timezone.now()).filter(account_id=test.account_id).exists():
        queue_delivery()


def queue_delivery() -> None:
    """Have a worker deliver what is due, of all accounts, once the present transaction has committed."""
    transaction.on_commit(_call_for_delivery)


def queue_delivery_at(due: datetime) -> None:
    """`queue_delivery` for mail that becomes due then; what is later than workers wait for, a sweep calls them for."""
    if due <= timezone.now() + timedelta(seconds=settings.OUTBOX_AHEAD_SECONDS):
        queue_delivery()


def queue_connection_test(test_id: int) -> None:
    """Have a worker run a ConnectionTest, once the present transaction has committed."""
    _queue("run_connection_test", test_id)


def queue_sign_in_recovered(account_id: int) -> None:
    """The account's SMTP credentials changed: forget the refusal, lift the holds that waited for it, deliver."""
    with transaction.atomic():
        smtp = Account.objects.filter(pk=account_id).values("smtp_id")
        parked = Q(needs_sign_in_since__isnull=False) | Q(next_allowed_at__isnull=False) | Q(failure_count__gt=0)
        Transport.objects.filter(parked, pk__in=smtp).update(
            needs_sign_in_since=None, next_allowed_at=None, failure_count=0
        )
        recovery.lift_sign_in_holds(account_id, timezone.now())
        queue_delivery()


def _call_for_delivery(forget_after: float = CALL_SECONDS) -> None:
    if DeliveryCall.make(timezone.now(), forget_after=forget_after):
        _queue("deliver")


def _queue(name: str, *ids: int) -> None:
    task_name = f"{name} {' '.join(map(str, ids))}"
    queue(f"outbox.tasks.{name}", *ids, task_name=task_name, timeout=settings.TASK_TIMEOUT_SECONDS)
