"""The idle process: runs an AccountWatcher for each account of its share, and queues a sync when one reports news.

The main thread queries the database for all accounts every few seconds; another thread runs the watchers' event loop.
No mail depends on this process: an account whose IDLE connection is up is still polled every SYNC_PUSHED_SECONDS, and
every other account each minute.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import resource
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from mailbox import process_heartbeats
from mailbox.accounts import seen_certificates
from mailbox.credentials import DecryptionFailed
from mailbox.endpoints import Endpoint
from mailbox.errors import NetworkError, SignInRefused
from mailbox.imap.idle import FolderNumbers
from mailbox.logs import event
from mailbox.models import Account, Folder, ProcessHeartbeat, SyncState
from mailbox.oauth import refresh
from mailbox.push.event_loop import EventLoop
from mailbox.push.push_leases import PushLeases
from mailbox.push.wanted import AccountToWatch, other_folders, wanted
from mailbox.push.watcher import AccountWatcher, News, PushRefused, Timing, WatcherEvent

logger = logging.getLogger(__name__)
LOOK_SECONDS = 3.0  # how soon a new, paused or changed account is noticed
OTHERS_SECONDS = 20.0  # between two queries of what the last syncs found in folders other than INBOX
AGAIN_SECONDS = 2.0  # at least this long between two syncs queued for one account
SPARE_DESCRIPTORS = 100  # file descriptors for the database, name look-ups and sign-ins under way
MOST_DESCRIPTORS = 65_536
STOP_SECONDS = 1.0  # for the watchers to end; a sign-in that takes longer dies with the process


class Listener:
    """The main loop. `queue_sync` takes an account's pk. `run` returns after `stop`, which any thread may call."""

    def __init__(self, queue_sync: Callable[[int], object], *, timing: Timing | None = None) -> None:
        self._queue_sync = queue_sync
        self._timing = timing or Timing(
            connect=settings.CONNECT_TIMEOUT_SECONDS, command=min(settings.COMMAND_TIMEOUT_SECONDS, 30)
        )
        self._told: queue.SimpleQueue[WatcherEvent | None] = queue.SimpleQueue()  # put() is reentrant: stop() needs it
        self._stopped = False
        self._loop, self._leases = EventLoop(), PushLeases()
        self._heartbeat = process_heartbeats.InLoop(ProcessHeartbeat.Role.PUSH)
        self._watches: dict[int, tuple[AccountToWatch, AccountWatcher]] = {}
        self._news: dict[int, float] = {}  # account with news -> time.monotonic() from which its sync may be queued
        self._folders: dict[int, set[str]] = {}  # account with news -> the folders that changed
        self._others: Mapping[int, Mapping[str, FolderNumbers]] = {}
        self._next_others = 0.0
        self._queued_at: dict[int, float] = {}
        self._refusals: list[PushRefused] = []
        self._next_look = 0.0

    def stop(self) -> None:
        """Have `run` return soon."""
        self._stopped = True
        self._told.put(None)

    def states(self) -> dict[str, str]:
        """The State of each account's watcher, by the account's pk as text, for a JSON column."""
        return {str(pk): str(watch.state) for pk, (_, watch) in self._watches.items()}

    def run(self) -> None:
        """Work until `stop`; the database may be away meanwhile. Then end all watchers and give the leases back."""
        if (limit := _raised_file_limit()) < settings.PUSH_CONNECTIONS + SPARE_DESCRIPTORS:
            event(logger, "idle_descriptors", logging.WARNING, limit=limit, connections=settings.PUSH_CONNECTIONS)
        try:
            while not self._stopped:
                try:
                    self._step(time.monotonic())
                except (DatabaseError, InterfaceError) as error:
                    # The IMAP connections stay open, and news is kept in memory until the database is back.
                    event(logger, "idle_database", logging.WARNING, error=str(error)[:160])
                    connection.close()
                    self._take(AGAIN_SECONDS)
        finally:
            self._end()

    def _step(self, now: float) -> None:
        # The database was away, or this machine slept. Another process may hold the accounts by now, and an account
        # must have one IDLE connection.
        if self._leases.has_lapsed(now):
            event(logger, "idle_leases_lapsed", logging.WARNING, accounts=len(self._leases.held))
            self._stop_all()
            self._leases.lose()
        if now >= self._next_look:
            self._look(timezone.now())
            self._next_look = now + LOOK_SECONDS
        while self._refusals:
            self._mark_refused(self._refusals[0])
            del self._refusals[0]
        for account_id in [pk for pk, due in self._news.items() if due <= now]:
            self._pass_on(account_id)
        moment = min([self._next_look, *self._news.values()])
        self._take(max(moment - time.monotonic(), 0))

    def _take(self, seconds: float) -> None:
        """Wait at most `seconds` for an event of a watcher, then take all events that are there."""
        with contextlib.suppress(queue.Empty):
            told = self._told.get(timeout=seconds) if seconds else self._told.get_nowait()
            while True:
                if isinstance(told, News):
                    again = self._queued_at.get(told.account_id, -AGAIN_SECONDS) + AGAIN_SECONDS
                    self._news.setdefault(told.account_id, max(time.monotonic(), again))
                    self._folders.setdefault(told.account_id, set()).add(told.folder)
                elif isinstance(told, PushRefused):
                    self._refusals.append(told)
                told = self._told.get_nowait()

    def _pass_on(self, account_id: int) -> None:
        """Set `news_at`, then queue a sync. A sync of this account that is running sees `news_at`; the queued one finds
        the account busy and leaves the news to it."""
        names = self._folders.get(account_id, set())
        chosen = Folder.objects.chosen().filter(account_id=account_id)
        changed = chosen.filter(name__in=names) | (chosen.holding_inbox() if "INBOX" in names else chosen.none())
        SyncState.objects.filter(account_id=account_id, folder__in=changed).update(news_at=timezone.now())
        try:
            self._queue_sync(account_id)
        except DatabaseError:
            raise
        except Exception as error:  # the broker is away (each library has its own exceptions): try again later
            event(logger, "idle_queue", logging.WARNING, account=account_id, error=f"{type(error).__name__}: {error}")
            self._news[account_id] = time.monotonic() + LOOK_SECONDS
            return
        self._queued_at[account_id] = time.monotonic()
        del self._news[account_id]
        self._folders.pop(account_id, None)

    def _mark_refused(self, refusal: PushRefused) -> None:
        pk = refusal.watch.account_id
        account = Account.objects.with_transports().filter(pk=pk).first()
        current = self._watches.get(pk)
        if account and current and current[1] is refusal.watch and _secrets(account) == current[0].made_of[-3:]:
            account.imap.mark_needs_sign_in(refusal.words, timezone.now())
        if current and current[1] is refusal.watch:
            del self._watches[pk]

    def _look(self, now: datetime) -> None:
        """Renew our share of the accounts; start and stop watchers so that they match it."""
        self._heartbeat.note(now)
        self._leases.keep(self.states(), now)
        rows = {row.account_id: row for row in wanted()}
        leaving = self._leases.too_many(rows, now)
        former = self._stop_some(rows, leaving)
        self._leases.give_back(leaving)
        self._leases.take(rows, now)
        ours = {pk: row for pk, row in rows.items() if pk in self._leases.held}
        seen_certificates.note_all()
        new = [row for pk, row in ours.items() if pk not in self._watches and not _is_too_soon(row, now)]
        if new or time.monotonic() >= self._next_others:
            self._others, self._next_others = other_folders(ours), time.monotonic() + OTHERS_SECONDS
            for pk, (_, watch) in self._watches.items():
                watch.others = self._others.get(pk, {})
        for row in new:
            self._start(row, former.get(row.account_id))

    def _stop_some(self, rows: Mapping[int, AccountToWatch], leaving: set[int]) -> dict[int, AccountWatcher]:
        """Stop the watchers of accounts that left our share, or whose server or credentials changed; return them."""
        former: dict[int, AccountWatcher] = {}
        for pk, (row, watch) in list(self._watches.items()):
            if pk in leaving or pk not in self._leases.held or pk not in rows or rows[pk].made_of != row.made_of:
                watch.stop()
                former[pk] = watch
                del self._watches[pk]
        return former

    def _start(self, row: AccountToWatch, former: AccountWatcher | None) -> None:
        watch = AccountWatcher(
            row.account_id, partial(_endpoint_of, row.account_id), self._told.put,
            loop=self._loop, server=row.server, timing=self._timing, known=row.known, former=former,
        )  # fmt: skip
        watch.others = self._others.get(row.account_id, {})
        self._watches[row.account_id] = (row, watch)
        watch.start()

    def _stop_all(self) -> list[AccountWatcher]:
        watches = [watch for _, watch in self._watches.values()]
        for watch in watches:
            watch.stop()
        self._watches.clear()
        return watches

    def _end(self) -> None:
        until = time.monotonic() + STOP_SECONDS
        for watch in self._stop_all():
            watch.join(max(until - time.monotonic(), 0))
        self._loop.stop(STOP_SECONDS)
        with contextlib.suppress(DatabaseError, InterfaceError):
            self._leases.end()
        connection.close()


def _is_too_soon(row: AccountToWatch, now: datetime) -> bool:
    return row.not_before is not None and row.not_before > now


def _secrets(account: Account) -> tuple[object, ...]:
    return account.imap.encrypted_password, account.imap.encrypted_oauth_token, account.imap.grant_id


def _endpoint_of(account_id: int) -> Endpoint:
    """The account's IMAP endpoint, with a fresh access token. Runs on a thread of the sign-in pool.

    Raises NetworkError when the account was deleted, and SignInRefused when its secret cannot be decrypted.
    """
    try:
        account = Account.objects.with_transports().filter(pk=account_id).first()
        if account is None:  # the next look stops this watcher
            raise NetworkError("The account was deleted.")
        refresh.ensure_fresh(account, "imap")
        return account.imap_endpoint()
    except DecryptionFailed as error:
        raise SignInRefused(str(error)) from error
    finally:
        connection.close()


def _raised_file_limit() -> int:
    """Raise the soft limit of open files and return it: one socket an account, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
