"""One account's asyncio task: waits in IDLE (RFC 2177) for changes of INBOX, and connects again after a failure.

It makes no database queries; it reports events to the Listener that started it. Signing in blocks and runs on a thread
pool (`EventLoop.signing_in`); a connection that is up needs no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, SignInRefused
from mailbox.imap.idle import FolderNumbers, IdleNotOffered, IdleSession
from mailbox.jitter import jittered
from mailbox.logs import event, provider_words
from mailbox.push.event_loop import EventLoop

logger = logging.getLogger(__name__)
BREATH_SECONDS = 0.2  # pause after each change: bounds the cost of a server that reports without end


class State(StrEnum):
    """The state of an account's push connection, as PushHeartbeat stores it and pages show it."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # the connection failed; it is tried again
    NOT_OFFERED = "not offered"  # the server has no IDLE
    REFUSED = "refused"  # the sign-in was refused: no try until the credentials change


@dataclass(frozen=True)
class Timing:
    """Time limits and intervals, in seconds."""

    renew: float = 540  # RFC 2177 asks for every 29 minutes; some NAT gateways drop a quiet connection after ten
    base_backoff: float = 5
    max_backoff: float = 300
    others: float = 60  # between two STATUS rounds over the folders other than INBOX
    lasting: float = 60  # a connection that lasted this long resets the count of failures
    ask_again: float = 86_400  # until a server without IDLE is asked again
    connect: float = 10
    command: float = 30


@dataclass(frozen=True)
class News:
    """Something changed in a folder of this account."""

    account_id: int
    folder: str = "INBOX"


@dataclass(frozen=True)
class PushRefused:
    """The server refused the sign-in with these words, and the watcher has ended."""

    watch: AccountWatcher
    words: str


WatcherEvent = News | PushRefused


class AccountWatcher:
    """Keeps one account's IDLE connection up. Public methods may be called from any thread; the rest runs on the loop.

    endpoint: called before each connection, on a thread of the sign-in pool: an access token lasts an hour.
    tell: called with each WatcherEvent.
    server: limits how many accounts of one server sign in at once.
    known: what the last sync found in INBOX; a connection that finds the same asks for no sync.
    former: an earlier watcher of this account, whose connection must end before ours begins.

    `others`: what the last syncs found in the other folders; the Listener replaces it from time to time.
    """

    def __init__(
        self,
        account_id: int,
        endpoint: Callable[[], Endpoint],
        tell: Callable[[WatcherEvent], None],
        *,
        loop: EventLoop,
        server: str,
        timing: Timing,
        known: FolderNumbers,
        former: AccountWatcher | None,
    ) -> None:
        self.account_id = account_id
        self.state = State.CONNECTING
        self._endpoint, self._tell, self._loop, self._server = endpoint, tell, loop, server
        self._timing, self._known = timing, known
        self.others: Mapping[str, FolderNumbers] = {}
        self._told_of: dict[str, FolderNumbers] = {}
        self._former = former
        self._connected_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: Future[None] = Future()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._loop.call(self._begin)

    def stop(self) -> None:
        """Cancel the task. Its connection is closed without LOGOUT, which no server minds."""
        self._loop.call(self._cancel)

    def join(self, seconds: float) -> None:
        """Wait until it has ended, for `seconds` at most; it does not say whether it has."""
        with contextlib.suppress(TimeoutError):
            self._ended.result(seconds)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda _: self._ended.set_result(None))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        if self._former is not None:  # an account has at most three connections, of which push may use one
            await asyncio.wait([asyncio.wrap_future(self._former._ended)], timeout=2 * self._timing.command)
            self._former = None
        failures = 0
        while True:
            self.state, self._connected_at = State.CONNECTING, None
            try:
                await self._listen()
            except SignInRefused as error:
                self.state = State.REFUSED
                self._tell(PushRefused(self, str(error)))
                return
            except IdleNotOffered:
                self.state = State.NOT_OFFERED
                await asyncio.sleep(jittered(self._timing.ask_again))
            except MailError as error:
                failures = await self._wait_after(error, failures, error.wait_seconds)
            except Exception as error:
                logger.exception("idle_crashed", extra={"fields": {"account": self.account_id}})
                failures = await self._wait_after(error, failures)

    async def _listen(self) -> None:
        """Connect and wait for changes until the task is cancelled. Raises what ends the connection."""
        session = await self._loop.signing_in(self._server, self._open, unused=IdleSession.close)
        self._connected_at = time.monotonic()
        try:
            self.state = State.CONNECTED
            if session.inbox.is_news_to(self._known):
                self._tell(News(self.account_id))
            self._known = session.inbox
            await self._wait_in(session)
        finally:
            session.close()

    def _open(self) -> IdleSession:
        timing = self._timing
        return IdleSession.open(self._endpoint(), connect_timeout=timing.connect, command_timeout=timing.command)

    async def _wait_in(self, session: IdleSession) -> None:
        """Wait in IDLE; ask STATUS of the other folders at once and then each `Timing.others` seconds."""
        look_at = time.monotonic()
        renew_at = look_at + jittered(self._timing.renew)
        while True:
            if time.monotonic() >= look_at:
                if self.others:
                    await self._look_at_others(session)
                    renew_at = time.monotonic() + jittered(self._timing.renew)
                look_at = time.monotonic() + jittered(self._timing.others)
            until = min(look_at, renew_at)
            if await session.wait(max(until - time.monotonic(), 0)):
                self._known = FolderNumbers()  # INBOX changed: what was known is out of date
                self._tell(News(self.account_id))
                await asyncio.sleep(BREATH_SECONDS)
            elif not look_at <= time.monotonic() < renew_at:  # renewal is due, or the server's keep-alives stopped
                await session.renew()
                renew_at = time.monotonic() + jittered(self._timing.renew)

    async def _look_at_others(self, session: IdleSession) -> None:
        """Ask STATUS of the other folders and report each change once.

        A folder whose STATUS is refused, or says too little, is reported each time, so that a sync looks into it.
        """
        known = self.others
        for folder, numbers in (await session.statuses(list(known))).items():
            if numbers is None:
                self._tell(News(self.account_id, folder))
            elif numbers.is_news_to(known[folder]) and self._told_of.get(folder) != numbers:
                self._told_of[folder] = numbers
                self._tell(News(self.account_id, folder))

    async def _wait_after(self, error: Exception, failures: int, stated: float | None = None) -> int:
        """Wait after a failure: exponential backoff, never less than `stated` seconds, which the server asked for.

        Returns the number of failures in a row.
        """
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
        await asyncio.sleep(seconds)
        return failures + 1
