"""One folder, one run: claim -> connect -> status -> plan -> fetch -> parse -> store -> finalize."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from mailbox import batch, follow, places, plan
from mailbox.attempts import Attempts
from mailbox.errors import Busy, MailError, SignInRefused, Throttled
from mailbox.folders import canonical, discover, folder_for
from mailbox.imap import FolderStatus
from mailbox.logs import event, provider_words
from mailbox.models import Account, Counter, Folder, MessagePlace, Quarantine, SyncState
from mailbox.session import Backoff, Clock, Mailbox, connect, signed_in

from django.db import transaction
from django.utils import timezone

logger = logging.getLogger(__name__)
MORE_WAITING = "More is waiting."


@dataclass(frozen=True)
class SyncOutcome:
    """What a run did to one folder. Seconds are wall clock; error_code is an errors.MailError's code or "internal"."""

    ok: bool
    fetched: int = 0
    updated: int = 0
    quarantined: int = 0
    bytes: int = 0
    seconds: float = 0.0
    error_code: str = ""
    error: str = ""
    more_waiting: bool = False
    note: str = ""


def sync(
    account_id: int,
    folder: str = "INBOX",
    cursor: int | None = None,
    max_messages: int = 100,
    *,
    now: datetime | None = None,
    wait_seconds: float = 0,
) -> SyncOutcome:
    """Fetch up to `max_messages` of a folder; `cursor=None` resumes from the stored one.

    A given cursor fetches what lies above that UID, oldest first, and never lowers the stored one. `wait_seconds`: how
    long to wait for another sync of this account. Failures that are expected are in the outcome; Account.DoesNotExist
    and bugs are raised.
    """
    account = Account.objects.with_transports().get(pk=account_id)
    clock = _clock(now)
    started = time.monotonic()
    try:
        with signed_in(account, clock, wait_seconds=wait_seconds) as mailbox:
            return sync_folder(mailbox, folder, cursor, max_messages)
    except MailError as error:
        return failed(account, folder, error, clock(), Backoff.from_settings(), time.monotonic() - started)


def discover_folders(account_id: int, *, now: datetime | None = None) -> list[Folder]:
    """Ask the server for its folders and bring the rows in line; raises MailError, Account.DoesNotExist."""
    account = Account.objects.with_transports().get(pk=account_id)
    clock = _clock(now)
    with connect(account, clock) as imap:
        found = discover(account, imap, clock())
    account.imap.mark_signed_in()
    return found


def _clock(now: datetime | None) -> Clock:
    return timezone.now if now is None else lambda: now


def sync_folder(
    mailbox: Mailbox,
    name: str,
    cursor: int | None = None,
    max_messages: int = 100,
    *,
    backoff: Backoff | None = None,
) -> SyncOutcome:
    """Sync one folder on an open connection. A MailError is recorded on the folder and is the outcome."""
    started = time.monotonic()
    tally = batch.Tally()
    try:
        note, more = _run(mailbox, name, cursor, max_messages, tally)
    except MailError as error:
        wait = backoff or Backoff.from_settings()
        if isinstance(error, Throttled):  # the account is, not this folder alone
            until = mailbox.clock() + timedelta(seconds=wait.wait(0, error.wait_seconds))
            mailbox.account.imap.mark_unavailable(str(error), until)
        return failed(mailbox.account, name, error, mailbox.clock(), wait, time.monotonic() - started, tally)
    outcome = SyncOutcome(
        ok=True,
        fetched=tally.fetched,
        updated=tally.updated,
        quarantined=tally.quarantined,
        bytes=tally.bytes,
        seconds=time.monotonic() - started,
        more_waiting=more,
        note=note,
    )
    _count(mailbox.account, outcome, mailbox.clock())
    return outcome


def _run(mailbox: Mailbox, name: str, cursor: int | None, max_messages: int, tally: batch.Tally) -> tuple[str, bool]:
    status = mailbox.imap.examine(name)
    folder = folder_for(mailbox.account, name)
    state, _ = SyncState.objects.get_or_create(account=mailbox.account, folder=folder)
    if state.news_at:
        SyncState.objects.filter(pk=state.pk, news_at=state.news_at).update(news_at=None)
    planned = plan.plan(
        uidvalidity=state.uidvalidity,
        cursor=state.cursor,
        backfill_cursor=state.backfill_cursor,
        status=status,
        from_cursor=cursor,
    )
    if planned.restarted or state.uidvalidity is None:
        SyncState.objects.filter(pk=state.pk).update(uidvalidity=status.uidvalidity, cursor=0, backfill_cursor=None)
    attempts = Attempts(state.pk, {} if planned.restarted else dict(state.begun))
    run = batch.FolderRun(mailbox, folder, state.pk, status.uidvalidity, planned.start, tally, attempts)
    run.fetch_again()
    more, left = False, max_messages
    for walk in planned.walks:
        fetched, done = _walk(run, walk, left)
        left -= fetched
        more = more or not done
    if not more and (cursor is None or status.exists == 0):
        _forget_former_uidvalidity(folder, status.uidvalidity, mailbox.clock())
    notes = ["UIDVALIDITY changed on the server: the folder is read again."] if planned.restarted else []
    if more or cursor is not None:
        _finalize(mailbox, state, status, more=more, followed=False)
    else:
        compare = follow.comparison_is_due(state, mailbox.clock())
        modseq = None if planned.restarted else state.highestmodseq
        follow.follow_flags(run, status, modseq, all_of_them=compare)
        in_line, mended = follow.follow_expunges(run, status, state, compare=compare)
        notes += [mended] if mended else []
        _finalize(mailbox, state, status, more=False, followed=True, compared=compare and in_line, in_line=in_line)
    return " ".join([*notes, *([MORE_WAITING] if more else [])]), more


def _walk(run: batch.FolderRun, walk: plan.Walk, limit: int) -> tuple[int, bool]:
    """Fetch up to `limit` messages on the walk; return how many, and whether none is left on it."""
    uids = list(islice(plan.uids_of(walk, run.mailbox.imap.search_uids), limit + 1))
    done = len(uids) <= limit
    run.fetch(walk, uids[:limit], last=done)
    return min(len(uids), limit), done


def _forget_former_uidvalidity(folder: Folder, uidvalidity: int, now: datetime) -> None:
    """The folder is read again to its end: what was not found again is no longer there."""
    former = places.other_uidvalidity(folder, uidvalidity)
    if MessagePlace.objects.present().filter(former).exists():
        with transaction.atomic():
            places.drop(former, now)
    Quarantine.objects.open().filter(former).update(resolved_at=now, fetch_requested_at=None)


def _finalize(
    mailbox: Mailbox,
    former: SyncState,
    status: FolderStatus,
    *,
    more: bool,
    followed: bool,
    compared: bool = False,
    in_line: bool = True,
) -> None:
    """`followed`: the flags are those of `status`. `in_line`: so are the UIDs; else the next run compares again."""
    now = mailbox.clock()
    same = former.uidvalidity == status.uidvalidity and former.highestmodseq is not None
    done = followed and in_line
    SyncState.objects.filter(pk=former.pk).update(
        uidnext=status.uidnext if followed or more else former.uidnext,
        # What changed on messages fetched meanwhile has a higher one: it stays the base until flags are followed.
        highestmodseq=status.highestmodseq if followed or not same else former.highestmodseq,
        exists=(status.exists if followed or more else former.exists) if in_line else None,
        compared_at=now if compared or (done and former.compared_at is None) else former.compared_at,
        more_waiting=more or (former.more_waiting and not followed),
        next_allowed_at=None,
        failure_count=0,
        last_error_code="",
        last_error="",
        last_attempt_at=now,
        last_success_at=now,
    )
    transport = mailbox.account.imap
    if transport.needs_sign_in_since or transport.failure_count or transport.last_reply or transport.next_allowed_at:
        transport.mark_signed_in()


def _count(account: Account, outcome: SyncOutcome, now: datetime) -> None:
    Counter.add(account.pk, Counter.Name.SYNC_ATTEMPTS, now)
    Counter.add(account.pk, Counter.Name.SYNC_SUCCESSES if outcome.ok else Counter.Name.SYNC_FAILURES, now)
    Counter.add(account.pk, Counter.Name.MESSAGES_RECEIVED, now, outcome.fetched)


def failed(
    account: Account,
    name: str,
    error: MailError,
    now: datetime,
    backoff: Backoff,
    seconds: float,
    tally: batch.Tally | None = None,
) -> SyncOutcome:
    """Record an expected failure on the folder, unless another worker is simply at it, and return its outcome.

    A refused sign-in starts no backoff here: the transport says it, and other credentials make the folder due at once.
    """
    tally = tally or batch.Tally()
    outcome = SyncOutcome(
        ok=False,
        fetched=tally.fetched,
        updated=tally.updated,
        quarantined=tally.quarantined,
        bytes=tally.bytes,
        seconds=seconds,
        error_code=error.code,
        error=str(error),
    )
    if isinstance(error, Busy):
        return outcome
    record_failure(
        account, name, outcome, now, None if isinstance(error, SignInRefused) else backoff, error.wait_seconds
    )
    return outcome


def record_failure(
    account: Account,
    name: str,
    outcome: SyncOutcome,
    now: datetime,
    backoff: Backoff | None,
    stated: float | None = None,
) -> None:
    """Write a failure on the folder's state: its words, one more failure, and when it may be tried again."""
    folder = Folder.objects.filter(account=account, name=canonical(name)).first()
    if folder is None and canonical(name) == "INBOX":  # it always exists, and its state keeps the clock of the retries
        folder = folder_for(account, name)
    if folder is not None:
        state, _ = SyncState.objects.get_or_create(account=account, folder=folder)
        wait = backoff.wait(state.failure_count, stated) if backoff else 0
        SyncState.objects.filter(pk=state.pk).update(
            failure_count=state.failure_count + 1,
            next_allowed_at=now + timedelta(seconds=wait) if backoff else None,
            last_error_code=outcome.error_code,
            last_error=outcome.error,
            last_attempt_at=now,
        )
    _count(account, outcome, now)
    event(
        logger, "sync_failed", logging.WARNING,
        account=account.email, folder=name, error_code=outcome.error_code, error=provider_words(outcome.error),
    )  # fmt: skip
