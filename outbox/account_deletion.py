"""Deletes an account with all that belongs to it. It is in outbox, because mailbox must not import outbox.

`Account.deleting_since` says that a person asked for it. The page that asks removes what a few seconds suffice for;
workers remove the rest, one slice after the other, so that no request lasts as long as an account is large, and a
killed process leaves work that a sweep finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from mailbox.db.deadlocks import committed
from mailbox.errors import Busy
from mailbox.leases.held_lease import HeldLease, held
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Account, AuditEntry, Lease, Message
from mailbox.resting_batches import LOOKED_UP, RestingBatches
from outbox.legal_holds import holds_account
from outbox.models import OutboxMessage

ASKED_SECONDS = 3.0  # how long a request removes by itself
SLICE_SECONDS = 60.0  # of a worker's task
PURPOSES = (Lease.Purpose.SYNC, Lease.Purpose.SEND, Lease.Purpose.SENT)


@dataclass(frozen=True)
class Outcome:
    """What became of a deletion. `refusal`: the sentence why not, or "". `left`: workers remove what is left; `busy`:
    when whoever holds the account's leases has ended."""

    refusal: str = ""
    left: bool = False
    busy: bool = False


def refusal_of(account: Account) -> str:
    """Why the account may not be deleted ("" if it may): unsent mail would be lost, or a legal hold keeps its mail."""
    if is_held(account):
        return _held(account)
    # Of all accounts: with a condition on the account, a planner reads all it ever sent (see visible_rows.count_tabs).
    undelivered = OutboxMessage.objects.filter(status__in=["pending", "sending", "failed"]).order_by()
    count = dict(undelivered.values_list("account").annotate(Count("pk"))).get(account.pk, 0)
    if not count:
        return ""
    words = ngettext(
        "%(number)s mail has not gone out from %(account)s. Send, cancel or decide on them in the outbox first.",
        "%(number)s mails have not gone out from %(account)s. Send, cancel or decide on them in the outbox first.",
        count,
    )
    return words % {"number": count, "account": account.email}


def is_held(account: Account) -> bool:
    """Whether a legal hold keeps mail of the account."""
    return holds_account(account.pk, LegalHolds.standing())


def ask(account: Account, note: Callable[[], object], seconds: float = ASKED_SECONDS) -> Outcome:
    """Ask for the deletion, and remove for `seconds`. If it is refused, the account's switches are put back.

    note: records who asked, in the transaction that marks the account: workers go on from there if this process dies.
    """
    if refusal := refusal_of(account):
        return Outcome(refusal)
    asked = Account.objects.filter(pk=account.pk)
    with transaction.atomic():
        asked.filter(deleting_since=None).update(deleting_since=timezone.now(), deletion_stopped_at=None)
        note()
    outcome = go_on(account.pk, seconds)
    if outcome.refusal:
        _note_stop(account.pk, outcome)
        stopped_at = account.deletion_stopped_at
        asked.update(
            sync_enabled=account.sync_enabled, send_enabled=account.send_enabled, deletion_stopped_at=stopped_at
        )
    return outcome


def go_on(account_id: int, seconds: float = SLICE_SECONDS, batches: RestingBatches | None = None) -> Outcome:
    """Remove for `seconds`, holding the account's leases, so that no worker writes rows meanwhile; where another
    process holds one, nothing is removed now. A refusal ends the deletion, and the account needs a person."""
    account = Account.objects.being_deleted().filter(pk=account_id).first()
    if account is None:
        return Outcome()
    Account.objects.filter(pk=account_id).update(sync_enabled=False, send_enabled=False)
    try:
        with ExitStack() as until_the_end:
            leases = [until_the_end.enter_context(held(account_id, each)) for each in PURPOSES]
            outcome = _remove(account, leases, batches or RestingBatches(), seconds)
    except Busy:
        return Outcome(left=True, busy=True)
    if outcome.refusal:
        Account.objects.filter(pk=account_id).update(deleting_since=None, deletion_stopped_at=timezone.now())
    return outcome


def go_on_by_worker(account_id: int) -> Outcome:
    """go_on() with nobody there to read the refusal: it goes into the activity, too.
    Fetching stays off, since a sync would bring back what was removed already."""
    outcome = go_on(account_id)
    if outcome.refusal:
        _note_stop(account_id, outcome)
    return outcome


def _note_stop(account_id: int, outcome: Outcome) -> None:
    target = f"account:{account_id}"
    AuditEntry.objects.create(account_id=account_id, verb="stop_deletion", target=target, detail=outcome.refusal[:500])


def _held(account: Account) -> str:
    return gettext("A legal hold keeps mail of %(account)s: release it first (page Retention).") % {
        "account": account.email
    }


def _remove(account: Account, leases: Sequence[HeldLease], batches: RestingBatches, seconds: float) -> Outcome:
    """Remove its mail in batches with rests, then the account, until `seconds` are over.

    A legal hold set meanwhile stops it, as does a mail written meanwhile.
    """
    end = batches.clock() + seconds
    for rows in _mail_of(account):
        while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:LOOKED_UP]):
            for part in batches.parts(pks):
                if batches.clock() > end:
                    return Outcome(left=True)
                if not committed(partial(_removed, account, leases, rows.filter(pk__in=part))):
                    return Outcome(_held(account))
    with transaction.atomic():
        if holds_account(account.pk, LegalHolds.until_commit()):
            return Outcome(_held(account))
        if refusal := refusal_of(account):
            return Outcome(refusal)
        account.delete()
    return Outcome()


def _removed(account: Account, leases: Sequence[HeldLease], rows: QuerySet[Any]) -> bool:
    """Remove these rows; False, and nothing is removed, if a legal hold keeps them. Call it in a transaction.

    Raises Busy when a lease was lost, since this process stood still.
    """
    for lease in leases:
        lease.renew()
    if holds_account(account.pk, LegalHolds.until_commit()):
        return False
    rows.delete()
    return True


def _mail_of(account: Account) -> tuple[QuerySet[Any], QuerySet[Any]]:
    over = OutboxMessage.objects.filter(status__in=[OutboxMessage.Status.SENT, OutboxMessage.Status.CANCELLED])
    return Message.objects.filter(account=account), over.filter(account=account)
