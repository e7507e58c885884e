"""The idle process: an AccountWatcher for each account that wants push, and a sync queued for each that hears news.

One thread asks the database for all of them, every few seconds. No mail depends on this process: an account whose
connection stands is polled each SYNC_PUSHED_SECONDS, and any other, or all when this process is gone, each minute.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import queue
import resource
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F, FilteredRelation, Q
from django.utils import timezone

from mailbox import network, presence
from mailbox.credentials import DecryptionFailed
from mailbox.endpoints import Endpoint
from mailbox.errors import SignInRefused
from mailbox.imap.idle import FolderNumbers
from mailbox.logs import event
from mailbox.models import Account, Folder, ProcessHeartbeat, PushHeartbeat, SyncState
from mailbox.oauth import refresh, seen_certificates
from mailbox.push.watcher import AccountWatcher, News, PushRefused, Timing, WatcherEvent

logger = logging.getLogger(__name__)
LOOK_SECONDS = 3.0  # how soon a new, paused or changed account is noticed
BEAT_SECONDS = 10.0
OTHERS_SECONDS = 20.0  # between two questions for what syncs know of the other folders
AGAIN_SECONDS = 2.0  # between two syncs queued for one account, however much it hears
SIGN_INS_AT_ONCE = 8
STOP_SECONDS = 1.0  # for the threads; what is still signing in then dies with the process

MADE_OF = (
    "ca_certificate",
    "imap__host",
    "imap__port",
    "imap__user",
    "imap__private_host_allowed",
    "imap__encrypted_password",
    "imap__encrypted_oauth_token",
    "imap__grant_id",
)
NUMBERS = ("uidvalidity", "uidnext", "exists", "highestmodseq")  # of a SyncState, in the order of FolderNumbers


@dataclass(frozen=True)
class AccountToWatch:
    """An account that wants push, and what its connection is made of: when that changes, another is made."""

    account_id: int
    known: FolderNumbers  # of INBOX, by the last sync
    not_before: datetime | None  # the server asked for a wait, or could not be reached
    made_of: tuple[object, ...]  # ends with the secrets, as they are stored


def wanted() -> list[AccountToWatch]:
    """Accounts with push and a synced INBOX, but those whose sign-in was refused. One query."""
    if network.is_off():
        return []
    rows = (
        Account.objects.syncing()
        .filter(push_enabled=True, imap__needs_sign_in_since=None)
        .alias(inbox=FilteredRelation("folders", condition=Q(folders__name="INBOX")))
        .filter(inbox__sync_enabled=True, inbox__gone_at=None)
        .order_by("pk")
    )
    numbers = [F(f"inbox__sync_state__{name}") for name in NUMBERS]
    return [
        AccountToWatch(pk, FolderNumbers(*rest[: len(NUMBERS)]), until, tuple(rest[len(NUMBERS) :]))
        for pk, until, *rest in rows.values_list("pk", "imap__next_allowed_at", *numbers, *MADE_OF)
    ]


def other_folders(account_ids: Collection[int]) -> dict[int, dict[str, FolderNumbers]]:
    """What syncs know of the chosen folders besides INBOX, by account and name. One query."""
    found: dict[int, dict[str, FolderNumbers]] = {}
    folders = Folder.objects.chosen().exclude(name="INBOX")
    numbers = (f"sync_state__{name}" for name in NUMBERS)
    for account_id, name, *known in folders.values_list("account_id", "name", *numbers):
        if account_id in account_ids:
            found.setdefault(account_id, {})[name] = FolderNumbers(*known)
    return found


class Listener:
    """`queue_sync` is given an account's pk. `run` stays until `stop` is called, from a signal handler if need be."""

    def __init__(self, queue_sync: Callable[[int], object], *, timing: Timing | None = None) -> None:
        self._queue_sync = queue_sync
        self._timing = timing or Timing(
            connect=settings.CONNECT_TIMEOUT_SECONDS, command=min(settings.COMMAND_TIMEOUT_SECONDS, 30)
        )
        self._told: queue.SimpleQueue[WatcherEvent | None] = queue.SimpleQueue()  # its put() may interrupt itself
        self._gate = threading.BoundedSemaphore(SIGN_INS_AT_ONCE)
        self._stopped = False
        self._token: str | None = None
        self._presence = presence.InLoop(ProcessHeartbeat.Role.PUSH)
        self._watches: dict[int, tuple[AccountToWatch, AccountWatcher]] = {}
        self._news: dict[int, float] = {}  # account -> when a sync of it may be queued
        self._folders: dict[int, set[str]] = {}  # of those accounts
        self._others: Mapping[int, Mapping[str, FolderNumbers]] = {}
        self._next_others = 0.0
        self._queued_at: dict[int, float] = {}
        self._refusals: list[PushRefused] = []
        self._next_look = self._next_beat = 0.0
        self._states_told: dict[str, str] = {}

    def stop(self) -> None:
        self._stopped = True
        self._told.put(None)

    def states(self) -> dict[str, str]:
        return {str(pk): str(watch.state) for pk, (_, watch) in self._watches.items()}

    def run(self) -> None:
        _raise_file_limit()
        try:
            while not self._stopped:
                try:
                    self._step(time.monotonic())
                except (DatabaseError, InterfaceError) as error:
                    # Connections to the mail servers stay, and what they told is kept until the database is back.
                    event(logger, "idle_database", logging.WARNING, error=str(error)[:160])
                    connection.close()
                    self._take(AGAIN_SECONDS)
        finally:
            self._end()

    def _step(self, now: float) -> None:
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
        """What the watches tell, as soon as one tells anything, at the latest after `seconds`."""
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
        """The row first: a sync of this account that runs already looks for it, and the task leaves it to that one."""
        folders = self._folders.get(account_id, set())
        SyncState.objects.filter(account_id=account_id, folder__name__in=folders).update(news_at=timezone.now())
        try:
            self._queue_sync(account_id)
        except DatabaseError:
            raise
        except Exception as error:  # the broker, of whatever library: kept for when it is back
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
        """Keep the right to listen, and bring the watches in line with the accounts."""
        self._presence.note(now)
        if not self._is_ours(now):
            self._stop_all()
            return
        rows = {row.account_id: row for row in wanted()}
        former: dict[int, AccountWatcher] = {}
        for pk, (row, watch) in list(self._watches.items()):
            if pk not in rows or rows[pk].made_of != row.made_of:
                watch.stop()
                former[pk] = watch
                del self._watches[pk]
        seen_certificates.note_all()
        new = [row for pk, row in rows.items() if pk not in self._watches and not _is_too_soon(row, now)]
        if new or time.monotonic() >= self._next_others:
            self._others, self._next_others = other_folders(rows), time.monotonic() + OTHERS_SECONDS
            for pk, (_, watch) in self._watches.items():
                watch.others = self._others.get(pk, {})
        for row in new:
            self._start(row, former.get(row.account_id))

    def _is_ours(self, now: datetime) -> bool:
        if self._token is None:
            _release_of_the_dead()
            self._token = PushHeartbeat.claim(platform.node() or "localhost", os.getpid(), now)
            self._states_told = {}
            return self._token is not None
        states = self.states()
        if states == self._states_told and time.monotonic() < self._next_beat:
            return True
        if not PushHeartbeat.beat(self._token, states, now):
            self._token = None
            return False
        self._states_told, self._next_beat = states, time.monotonic() + BEAT_SECONDS
        return True

    def _start(self, row: AccountToWatch, former: AccountWatcher | None) -> None:
        account = Account.objects.with_transports().filter(pk=row.account_id).first()
        if account is None:
            return
        watch = AccountWatcher(
            row.account_id, partial(_endpoint_of, account), self._told.put,
            gate=self._gate, timing=self._timing, known=row.known, former=former,
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
        if self._token is not None:
            with contextlib.suppress(DatabaseError, InterfaceError):
                PushHeartbeat.release(self._token)
        connection.close()


def _is_too_soon(row: AccountToWatch, now: datetime) -> bool:
    return row.not_before is not None and row.not_before > now


def _secrets(account: Account) -> tuple[object, ...]:
    return account.imap.encrypted_password, account.imap.encrypted_oauth_token, account.imap.grant_id


def _endpoint_of(account: Account) -> Endpoint:
    """Where a watch connects to, its access token refreshed when need be; runs on the watch's thread."""
    try:
        refresh.ensure_fresh(account, "imap")
        return account.imap_endpoint()
    except DecryptionFailed as error:
        raise SignInRefused(str(error)) from error
    finally:
        connection.close()


def _release_of_the_dead() -> None:
    """A process of this machine that was killed holds the row for a minute more: nobody needs to wait for it."""
    row = PushHeartbeat.objects.filter(pk=1).first()
    if row is None or row.host != (platform.node() or "localhost"):
        return
    try:
        os.kill(row.pid, 0)
    except ProcessLookupError:
        PushHeartbeat.release(row.token)
    except PermissionError:
        pass


def _raise_file_limit() -> None:
    """A socket an account: a thousand of them are above the usual soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or soft < hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
