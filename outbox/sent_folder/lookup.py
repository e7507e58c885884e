"""Look-ups: searches the Sent folder and All Mail for a mail whose outcome is uncertain.

It is found if Message-ID *and* X-PRX-Attempt are those of the attempt. Not finding it proves nothing, as a server may
keep no copy or replace the Message-ID; then a person decides. A person's decision wins every race with a look-up.
"""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta

from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from mailbox import logs
from mailbox.errors import Busy, MailError
from mailbox.imap import sent_search
from mailbox.imap.sent_search import AttemptHeaders
from mailbox.keep_alive import keep_alive
from mailbox.models import Account
from outbox.actions import transitions
from outbox.models import DeliveryAttempt, OutboxMessage, SentLookup
from outbox.sent_folder import looked_words
from outbox.sent_folder.session import Clock, lease_seconds, renewing_claim, signed_in

logger = logging.getLogger(__name__)
LOOK_AFTER = (timedelta(0), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
BUSY_WAIT = timedelta(seconds=15)
OPENED_AT_ONCE = 500


def next_look(uncertain_at: datetime, now: datetime) -> datetime | None:
    """The first of the planned times that is after `now`, or None. Times missed without workers are one look in all."""
    return next((uncertain_at + after for after in LOOK_AFTER if uncertain_at + after > now), None)


def open_lookups(now: datetime) -> int:
    """Create the look-ups of uncertain rows that have none for their last attempt; returns how many."""
    last = DeliveryAttempt.objects.filter(outbox=OuterRef("pk")).order_by("-number").values("pk")[:1]
    asked = OutboxMessage.objects.needs_decision().annotate(last=Subquery(last)).values("last")
    new = DeliveryAttempt.objects.filter(pk__in=asked, sent_lookup=None)[:OPENED_AT_ONCE]
    rows = [
        SentLookup(attempt_id=pk, uncertain_at=min(finished_at or now, now), next_look_at=now)
        for pk, finished_at in new.values_list("pk", "finished_at")
    ]
    SentLookup.objects.bulk_create(rows, ignore_conflicts=True)  # two sweeps may run concurrently
    return len(rows)


def due(now: datetime) -> list[int]:
    """The pks of due look-ups, at most OPENED_AT_ONCE."""
    return list(SentLookup.objects.due(now).order_by("next_look_at").values_list("pk", flat=True)[:OPENED_AT_ONCE])


def look(pk: int, clock: Clock = timezone.now) -> int | None:
    """Do a look-up if it is due and free; returns the account's pk if that settled the row. Raises no MailError."""
    token = _claim(pk, clock())
    if token is None:
        return None
    lookup = SentLookup.objects.select_related("attempt").get(pk=pk)
    account = Account.objects.with_transports().get(outbox=lookup.attempt.outbox_id)
    stamp = AttemptHeaders(lookup.attempt.message_id, lookup.attempt.prx_attempt)
    claim = renewing_claim(SentLookup.objects.filter(pk=pk, claim_token=token), clock)
    try:
        with keep_alive.during(claim):
            folder, words = _search(account, stamp, clock)
    except Busy:
        _end(pk, token, next_look_at=clock() + BUSY_WAIT)
        return None
    except MailError as error:
        folder, words = "", looked_words.NOT_LOOKED_FOR % {"what": error}
    now = clock()
    # The row first: if the worker is killed between the two, the row is settled and the look-up is no longer open.
    is_settled = bool(folder) and transitions.found_in_sent(lookup.attempt, folder, now=now)
    _end(
        pk,
        token,
        last_look_at=now,
        last_words=words,
        found_in=folder,
        next_look_at=None if folder else next_look(lookup.uncertain_at, now),
    )
    logs.event(logger, "looked_in_sent", outbox_id=lookup.attempt.outbox_id, found=bool(folder), settled=is_settled)
    return account.pk if is_settled else None


def _claim(pk: int, now: datetime) -> str | None:
    if not SentLookup.objects.due(now).filter(pk=pk).exists():
        return None
    token = secrets.token_hex(16)
    # A condition on this row's columns only: after a wait for its lock, PostgreSQL would evaluate a sub-query by the
    # snapshot from before the wait.
    free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
    ours = SentLookup.objects.filter(free, pk=pk, next_look_at__lte=now)
    lease = now + timedelta(seconds=lease_seconds())
    return token if ours.update(claim_token=token, lease_expires_at=lease) == 1 else None


def _end(pk: int, token: str, **changes: object) -> None:
    SentLookup.objects.filter(pk=pk, claim_token=token).update(claim_token="", lease_expires_at=None, **changes)


def _search(account: Account, stamp: AttemptHeaders, clock: Clock) -> tuple[str, str]:
    """(the folder that contains the mail, or "", and a sentence for the look-up). Raises MailError."""
    with signed_in(account, clock) as ours:
        folders = sent_search.folders_to_look_in(ours.imap.list_folders())
        for folder in folders:
            if sent_search.find(ours.imap, folder, stamp):
                return folder, looked_words.IT_IS_IN % {"what": looked_words.quoted(folder)}
    if not folders:
        return "", looked_words.NO_FOLDER
    return "", looked_words.IT_IS_NOT_IN % {"what": looked_words.quoted(*folders)}


def ask_now(outbox_id: int, now: datetime) -> int | None:
    """Make a row's look-up due now for a person; returns its pk, or None if the row is not uncertain."""
    open_lookups(now)
    lookup = SentLookup.objects.open().filter(attempt__outbox_id=outbox_id).order_by("-attempt__number").first()
    if lookup is None:
        return None
    SentLookup.objects.filter(pk=lookup.pk).update(next_look_at=now)
    return lookup.pk
