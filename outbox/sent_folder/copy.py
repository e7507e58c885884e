"""Appends a copy of each sent mail to the Sent folder by IMAP, if the provider does not do so itself.

This is the only thing that is written to an IMAP server. A failed copy never changes the status of the mail.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext

from mailbox import logs
from mailbox.errors import Busy, MailError, SignInRefused
from mailbox.imap import sent_search
from mailbox.leases.held_lease import Clock
from mailbox.leases.keep_alive import keep_alive
from mailbox.models import Account
from mailbox.storage import out_of_reach, raw_store
from outbox.actions.transitions import record
from outbox.compose import addresses
from outbox.compose import build as compose_build
from outbox.errors import OutboxError, ValidationFailed
from outbox.models import DeliveryAttempt, OutboxMessage, SendingSwitch, SentCopy
from outbox.sent_folder.session import SentSession, lease_seconds, renewing_claim, signed_in
from outbox.sent_folder.wanted import wanted

logger = logging.getLogger(__name__)
State = SentCopy.State
BUDGET_SECONDS = 60.0
BASE_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
LONGEST_WAIT_FOR_FILE = timedelta(minutes=10)  # less than StoreMiss.KEPT, so that its incident does not end meanwhile
MOST_TRIES = 10
AT_ONCE = timedelta(minutes=5)  # a copy made later than this after its mail may exist already: Sent is searched first
NO_FOLDER = "The account has no Sent folder. Make one at the provider, then try again."


@dataclass
class CopyCounts:
    """What one run did. `more_due`: it ended before all due copies were made."""

    made: int = 0
    failed: int = 0
    more_due: bool = False


def wait_after(tries: int) -> timedelta | None:
    """The wait before the next try, after `tries` failed ones; None if only a person may try again."""
    return min(BASE_WAIT * 2 ** (tries - 1), LONGEST_WAIT) if 0 < tries < MOST_TRIES else None


def accounts_due(now: datetime) -> list[int]:
    """The pks of accounts with due copies whose IMAP server accepts the sign-in and is not in backoff."""
    if _is_paused():
        return []
    free = Q(imap__next_allowed_at=None) | Q(imap__next_allowed_at__lte=now)
    due = SentCopy.objects.due(now).whose(Account.objects.filter(free, imap__needs_sign_in_since=None))
    return sorted(due.annotate(account=F("whose")).order_by().values_list("account", flat=True).distinct())


def _is_paused() -> bool:
    """Whether all sending is paused. After a restore, or in a clone, nothing is written until a person resumes it."""
    return SendingSwitch.objects.filter(paused_at__isnull=False).exists()


def make_copies(account_id: int, clock: Clock = timezone.now, budget: float = BUDGET_SECONDS) -> CopyCounts:
    """Make an account's due copies on one connection, within `budget` seconds. Raises no MailError.

    A failed copy is tried again later.
    """
    report, until = CopyCounts(), time.monotonic() + budget
    account = Account.objects.with_transports().filter(pk=account_id).first()
    if account is None or _is_paused() or _unwanted(account, clock()) or not _due(account_id, clock()):
        return report
    with contextlib.suppress(Busy):  # another worker makes the copies
        try:
            with signed_in(account, clock) as ours:
                folder = sent_search.sent_folder(ours.imap.list_folders())
                while pks := _due(account_id, clock()):
                    if time.monotonic() >= until:
                        report.more_due = True
                        break
                    _make(pks[0], ours, folder, report)
        except SignInRefused:
            pass  # marked on the transport; the copies wait for new credentials
        except Busy:
            raise
        except MailError as error:
            _postpone_all(account_id, str(error), clock())
    return report


def _due(account_id: int, now: datetime) -> list[int]:
    due = SentCopy.objects.due(now).whose([account_id])
    return list(due.order_by("next_try_at", "pk").values_list("pk", flat=True)[:1])


def _unwanted(account: Account, now: datetime) -> bool:
    """Give up the waiting copies if the account's setting no longer wants them; returns whether that is so."""
    if account.wants_sent_copy():
        return False
    SentCopy.objects.waiting().whose([account.pk]).update(state=State.UNWANTED, finished_at=now)
    return True


def _postpone_all(account_id: int, words: str, now: datetime) -> None:
    """Put off the due copies, as the server was not reached. No try is counted."""
    SentCopy.objects.filter(pk__in=_all_due(account_id, now), state=State.WAITING).update(
        error=words, next_try_at=now + BASE_WAIT
    )


def _all_due(account_id: int, now: datetime) -> list[int]:
    due = SentCopy.objects.due(now).whose([account_id])
    return list(due.values_list("pk", flat=True)[:1000])


def _make(pk: int, ours: SentSession, folder: str | None, report: CopyCounts) -> None:
    now, token = ours.clock(), secrets.token_hex(16)
    free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
    claimed = SentCopy.objects.filter(free, pk=pk, state=State.WAITING, next_try_at__lte=now)
    lease = now + timedelta(seconds=lease_seconds())
    # The try is counted with the claim: after a worker was killed, the next one searches for its copy first.
    if claimed.update(claim_token=token, lease_expires_at=lease, tries=F("tries") + 1) != 1:
        return
    copy = SentCopy.objects.select_related("outbox").get(pk=pk)
    try:
        if folder is None:
            _end(copy, token, State.FAILED, "", NO_FOLDER, now)
        else:
            with keep_alive.during(renewing_claim(SentCopy.objects.filter(pk=pk, claim_token=token), ours.clock)):
                _append(copy, token, ours, folder)
            _end(copy, token, State.DONE, folder, "", ours.clock())
            report.made += 1
            return
    except raw_store.RawOutOfReach as error:  # raised before APPEND: the copy waits for the file, no try is counted
        out_of_reach.note(error.segment, now)
        SentCopy.objects.filter(pk=copy.pk, claim_token=token).update(
            tries=F("tries") - 1,
            error=str(error),
            next_try_at=now + _wait_for_file(copy.outbox, now),
            claim_token="",
            lease_expires_at=None,
        )
    except (raw_store.RawMissing, OutboxError) as error:
        _end(copy, token, State.FAILED, "", str(error), now)
    except MailError as error:
        _fail(copy, token, str(error), ours.clock())
        report.failed += 1
        if not isinstance(error, Busy) and error.code == "network":
            raise
        return
    report.failed += 1


def _wait_for_file(row: OutboxMessage, now: datetime) -> timedelta:
    """The time until the next look for the mail's file: as long as the copy has waited, so the wait doubles.

    At most LONGEST_WAIT_FOR_FILE, so that the incident about the file stays open.
    """
    attempt = _attempt_of(row)
    age = now - (attempt.finished_at or attempt.started_at)
    return min(max(age, BASE_WAIT), LONGEST_WAIT_FOR_FILE)


def _append(copy: SentCopy, token: str, ours: SentSession, folder: str) -> None:
    attempt, row = _attempt_of(copy.outbox), copy.outbox
    # Sent may contain the mail already: from an earlier try, from the provider (a look-up found it there), or from
    # before a restore of the database.
    is_late = ours.clock() - (attempt.finished_at or attempt.started_at) > AT_ONCE
    may_be_there = copy.tries > 1 or is_late or attempt.outcome == DeliveryAttempt.Outcome.UNCERTAIN
    if may_be_there and sent_search.find(ours.imap, folder, wanted(attempt)):
        return
    raw = content(row, attempt)
    seconds = lease_seconds(len(raw))
    ours.lease.renew(seconds)
    lease = ours.clock() + timedelta(seconds=seconds)
    if SentCopy.objects.filter(pk=copy.pk, claim_token=token).update(lease_expires_at=lease) != 1:
        raise Busy("Another worker makes this copy.")
    ours.imap.append(folder, raw, ("\\Seen",), attempt.finished_at or attempt.started_at)


def _attempt_of(row: OutboxMessage) -> DeliveryAttempt:
    """The attempt that the server accepted, else the last one that a person or a look-up marked as sent.

    Never one whose outcome is still uncertain: the look-up would take our copy for proof that the server sent it.
    Raises ValidationFailed if there is none.
    """
    went_out = row.attempts.filter(data_at__isnull=False).order_by("-number")
    if accepted := went_out.filter(outcome__in=("accepted", "partial")).first():
        return accepted
    said_to_be = list(went_out.filter(outcome="uncertain"))
    row.refresh_from_db(fields=["status", "hold"])  # after the attempts, so that a new uncertain one is noticed
    decided = said_to_be[1:] if row.hold == OutboxMessage.Hold.UNCERTAIN else said_to_be
    if not decided:
        raise ValidationFailed("No attempt to send this mail came so far that there is anything to copy.")
    return decided[0]


def content(row: OutboxMessage, attempt: DeliveryAttempt) -> bytes:
    """The bytes of the copy: the mail as it was sent, plus its Bcc, which only the sender's copy may contain."""
    bcc = addresses.address_header("Bcc", addresses.parse("Bcc", row.bcc)) if row.bcc else b""
    return compose_build.stamped(bcc + raw_store.open_raw(row.mime_digest), attempt.message_id, attempt.prx_attempt)


def _end(copy: SentCopy, token: str, state: str, folder: str, words: str, now: datetime) -> None:
    SentCopy.objects.filter(pk=copy.pk, claim_token=token).update(
        state=state, folder=folder, error=words, finished_at=now, claim_token="", lease_expires_at=None
    )
    event = "sent_copy_made" if state == State.DONE else "sent_copy_failed"
    logs.event(logger, event, outbox_id=copy.outbox_id, tries=copy.tries, error=logs.provider_words(words))


def _fail(copy: SentCopy, token: str, words: str, now: datetime) -> None:
    wait = wait_after(copy.tries)
    if wait is None:
        _end(copy, token, State.FAILED, "", words, now)
        return
    SentCopy.objects.filter(pk=copy.pk, claim_token=token).update(
        error=words, next_try_at=now + wait, claim_token="", lease_expires_at=None
    )


@transaction.atomic
def try_again(row: OutboxMessage, *, user: object, now: datetime) -> None:
    """Make a failed or waiting copy due again for a person. Raises ValidationFailed if there is none."""
    failed = SentCopy.objects.filter(outbox=row, state__in=(State.FAILED, State.WAITING), lease_expires_at=None)
    # `tries` starts at 1, so that the next try searches Sent for the copy of an earlier one.
    if failed.update(state=State.WAITING, tries=1, next_try_at=now, error="", finished_at=None) != 1:
        raise ValidationFailed(
            gettext("There is no copy to be made: it is in Sent already, or a worker makes it right now.")
        )
    record(row, "copy_again", user, now)  # type: ignore[arg-type]


def forget_cancelled(now: datetime) -> int:
    """Give up the waiting copies of cancelled mail that no recipient got; returns how many."""
    return SentCopy.objects.of_cancelled().update(state=State.UNWANTED, finished_at=now)
