"""Look-ups: searches the Sent folder and All Mail for a mail whose outcome is uncertain.

It is found if Message-ID *and* X-PRX-Attempt are those of the attempt (`wanted`: for mail of a restored database they
are partly unknown). Not finding it proves nothing, as a server may keep no copy or replace the Message-ID; then a
person decides. A person's decision wins every race with a look-up.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from mailbox import logs
from mailbox.errors import Busy, MailError
from mailbox.imap import sent_search
from mailbox.imap.sent_search import AttemptHeaders, ForgottenAttempt
from mailbox.leases.held_lease import Clock
from mailbox.leases.keep_alive import Act, keep_alive
from mailbox.models import Account
from outbox.actions import transitions
from outbox.models import DeliveryAttempt, OutboxMessage, SentLookup
from outbox.sent_folder import looked_words
from outbox.sent_folder.looked_words import NO_FOLDER
from outbox.sent_folder.session import SentSession, lease_seconds, renewing_claim, signed_in
from outbox.sent_folder.wanted import is_for_all, note_mark, wanted

logger = logging.getLogger(__name__)
LOOK_AFTER = (timedelta(0), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
BUSY_WAIT = timedelta(seconds=15)
BUDGET_SECONDS = 60.0
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
    """Do a look-up if it is due and free, and then the account's others that are due, on the same connection.

    Returns the account's pk if one of them settled its row. Raises no MailError.
    """
    token = _claim(pk, clock())
    if token is None:
        return None
    at_work = AtWork(SentLookup.objects.select_related("attempt__outbox").get(pk=pk), token)
    account = Account.objects.with_transports().get(outbox=at_work.lookup.attempt.outbox_id)
    until, settled = time.monotonic() + BUDGET_SECONDS, False
    following: AtWork | None = at_work
    try:
        with keep_alive.during(at_work.renewing(clock)), signed_in(account, clock) as ours:
            folders = sent_search.folders_to_look_in(ours.imap.list_folders())
            while following is not None:
                at_work = following
                with keep_alive.during(at_work.renewing(clock)):
                    settled |= _look_in(folders, at_work, ours)
                following = _next_of(account.pk, clock()) if time.monotonic() < until else None
    except Busy:
        at_work.end(next_look_at=clock() + BUSY_WAIT)
    except MailError as error:
        at_work.end_with(looked_words.NOT_LOOKED_FOR % {"what": error}, "", clock())
    return account.pk if settled else None


@dataclass(frozen=True)
class AtWork:
    """A look-up that this process has claimed."""

    lookup: SentLookup
    token: str

    def renewing(self, clock: Clock) -> Act:
        """The action for keep_alive that renews the claim."""
        return renewing_claim(SentLookup.objects.filter(pk=self.lookup.pk, claim_token=self.token), clock)

    def end(self, **changes: object) -> None:
        """Save the changes and give the claim back, if it is still ours."""
        ours = SentLookup.objects.filter(pk=self.lookup.pk, claim_token=self.token)
        ours.update(claim_token="", lease_expires_at=None, **changes)

    def end_with(self, words: str, folder: str, now: datetime) -> None:
        """Save the result of a look, and when the next one comes: none when the mail was found."""
        following = None if folder else next_look(self.lookup.uncertain_at, now)
        self.end(last_look_at=now, last_words=words, found_in=folder, next_look_at=following)


def _look_in(folders: list[str], at_work: AtWork, ours: SentSession) -> bool:
    """Search the folders and save the result; returns whether it settled the row. Raises MailError."""
    attempt, is_settled = at_work.lookup.attempt, False
    folder, found = _search(folders, wanted(attempt), ours)
    now = ours.clock()
    if found is None:
        words = looked_words.IT_IS_NOT_IN % {"what": looked_words.quoted(*folders)} if folders else NO_FOLDER
    elif is_for_all(attempt):
        words = looked_words.IT_IS_IN % {"what": looked_words.quoted(folder)}
        note_mark(attempt, found)
        # The row first: if the worker is killed between the two, the row is settled and the look-up no longer open.
        is_settled = transitions.found_in_sent(attempt, folder, now=now)
    else:
        words = looked_words.IT_IS_IN_FOR_SOME % {"what": looked_words.quoted(folder)}
    at_work.end_with(words, folder, now)
    logs.event(logger, "looked_in_sent", outbox_id=attempt.outbox_id, found=bool(folder), settled=is_settled)
    return is_settled


def _search(
    folders: list[str], searched: AttemptHeaders | ForgottenAttempt, ours: SentSession
) -> tuple[str, AttemptHeaders | None]:
    """(the folder that contains the mail, its headers); ("", None) if none does. Raises MailError."""
    for folder in folders:
        if found := sent_search.find(ours.imap, folder, searched):
            return folder, found
    return "", None


def _next_of(account_id: int, now: datetime) -> AtWork | None:
    """Claim the account's look-up that has been due longest."""
    due = SentLookup.objects.due(now).filter(attempt__outbox__account=account_id).order_by("next_look_at", "pk")
    lookup = due.select_related("attempt__outbox").first()
    token = _claim(lookup.pk, now) if lookup else None
    return AtWork(lookup, token) if lookup and token else None


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


def ask_now(outbox_id: int, now: datetime) -> int | None:
    """Make a row's look-up due now for a person; returns its pk, or None if the row is not uncertain."""
    open_lookups(now)
    lookup = SentLookup.objects.open().filter(attempt__outbox_id=outbox_id).order_by("-attempt__number").first()
    if lookup is None:
        return None
    SentLookup.objects.filter(pk=lookup.pk).update(next_look_at=now)
    return lookup.pk
