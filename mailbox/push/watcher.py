"""One account's thread of the idle process: it waits for news of INBOX, and connects again when the connection ends.

It asks no database: what it hears goes to the one that started it, so that two hundred threads need one connection.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, SignInRefused
from mailbox.imap.idle import FolderNumbers, IdleNotOffered, IdleSession
from mailbox.jitter import jittered
from mailbox.logs import event, provider_words

logger = logging.getLogger(__name__)
BREATH_SECONDS = 0.2  # between two pieces of news: a server that talks without end costs little


class State(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # the connection failed; it is tried again
    NOT_OFFERED = "not offered"  # the server has no IDLE
    REFUSED = "refused"  # the sign-in: nothing until the credentials change


@dataclass(frozen=True)
class Timing:
    """Seconds."""

    renew: float = 540  # servers end an IDLE after 29 minutes, some gateways forget a quiet connection after ten
    base_backoff: float = 5
    max_backoff: float = 300
    others: float = 60  # between two looks at the other folders of the account
    lasting: float = 60  # a connection that stood this long ends a row of failures
    ask_again: float = 86_400  # whether a server without IDLE has it now
    connect: float = 10
    command: float = 30


@dataclass(frozen=True)
class News:
    """Something changed in a folder of this account."""

    account_id: int
    folder: str = "INBOX"


@dataclass(frozen=True)
class PushRefused:
    """The server refused the sign-in with these words, and the watch has ended."""

    watch: AccountWatcher
    words: str


WatcherEvent = News | PushRefused


class AccountWatcher:
    """`endpoint` is asked at each connection, on the watcher's thread: an access token is good for an hour.

    `known`: what the last sync knew of INBOX, so that a connection does not ask for a sync that finds nothing.
    `others`: what syncs know of the other folders, which its owner replaces from time to time: STATUS tells what is
    news to them."""

    def __init__(
        self,
        account_id: int,
        endpoint: Callable[[], Endpoint],
        tell: Callable[[WatcherEvent], None],
        *,
        gate: threading.Semaphore,
        timing: Timing,
        known: FolderNumbers | None = None,
        former: AccountWatcher | None = None,
    ) -> None:
        self.account_id = account_id
        self.state = State.CONNECTING
        self._endpoint, self._tell, self._gate, self._timing = endpoint, tell, gate, timing
        self._known = known or FolderNumbers()
        self.others: Mapping[str, FolderNumbers] = {}
        self._told_of: dict[str, FolderNumbers] = {}
        self._former = former
        self._stopped = threading.Event()
        self._session: IdleSession | None = None
        self._connected_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"idle-{account_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End soon; the connection is cut, which no server minds."""
        self._stopped.set()
        if session := self._session:
            session.interrupt()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        if self._former is not None:  # of three connections an account may have, one is for this
            self._former.join(2 * self._timing.command)
            self._former = None
        failures = 0
        while not self._stopped.is_set():
            self.state, self._connected_at = State.CONNECTING, None
            try:
                self._listen()
            except SignInRefused as error:
                if not self._stopped.is_set():
                    self.state = State.REFUSED
                    self._tell(PushRefused(self, str(error)))
                return
            except IdleNotOffered:
                self.state = State.NOT_OFFERED
                self._stopped.wait(jittered(self._timing.ask_again))
            except MailError as error:
                failures = self._wait_after(error, failures, error.wait_seconds)
            except Exception as error:
                logger.exception("idle_crashed", extra={"fields": {"account": self.account_id}})
                failures = self._wait_after(error, failures)

    def _listen(self) -> None:
        """Until told to stop; what ends the connection otherwise is raised."""
        timing = self._timing
        with self._gate:  # not all accounts of a server sign in at once
            if self._stopped.is_set():
                return
            session = IdleSession.open(self._endpoint(), connect_timeout=timing.connect, command_timeout=timing.command)
        self._session, self._connected_at = session, time.monotonic()
        try:
            self.state = State.CONNECTED
            if session.inbox.is_news_to(self._known):
                self._tell(News(self.account_id))
            self._known = session.inbox
            self._wait_in(session)
        finally:
            self._session = None
            session.close()

    def _wait_in(self, session: IdleSession) -> None:
        """IDLE, with a look at the other folders each minute, the first one at once."""
        look_at = time.monotonic()
        renew_at = look_at + jittered(self._timing.renew)
        while not self._stopped.is_set():
            if time.monotonic() >= look_at:
                if self.others:
                    self._look_at_others(session)
                    renew_at = time.monotonic() + jittered(self._timing.renew)
                look_at = time.monotonic() + jittered(self._timing.others)
            until = min(look_at, renew_at)
            if session.wait(max(until - time.monotonic(), 0)):
                self._known = FolderNumbers()  # not known any more, until the next connection
                self._tell(News(self.account_id))
                self._stopped.wait(BREATH_SECONDS)
            elif not self._stopped.is_set() and not look_at <= time.monotonic() < renew_at:  # or the server fell silent
                session.renew()
                renew_at = time.monotonic() + jittered(self._timing.renew)

    def _look_at_others(self, session: IdleSession) -> None:
        """Each change is reported once; a folder of which the server reports nothing is left to the sync."""
        known = self.others
        for folder, numbers in session.statuses(list(known)).items():
            if numbers is None:
                self._tell(News(self.account_id, folder))
            elif numbers.is_news_to(known[folder]) and self._told_of.get(folder) != numbers:
                self._told_of[folder] = numbers
                self._tell(News(self.account_id, folder))

    def _wait_after(self, error: Exception, failures: int, stated: float | None = None) -> int:
        """Wait longer each time, never less than the server asked for; returns how many failures there are in a row."""
        if self._stopped.is_set():
            return failures
        timing = self._timing
        if self._connected_at is not None and time.monotonic() - self._connected_at >= timing.lasting:
            failures = 0
        self.state = State.WAITING
        seconds = jittered(min(timing.base_backoff * 2 ** min(failures, 20), timing.max_backoff), at_least=stated or 0)
        event(
            logger, "idle_ended",
            account=self.account_id, error_code=getattr(error, "code", "internal"), reply=provider_words(str(error)),
            seconds=round(seconds),
        )  # fmt: skip
        self._stopped.wait(seconds)
        return failures + 1
