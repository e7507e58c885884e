"""One account's task of the idle process: it waits for news of INBOX, and connects again when the connection ends.

It asks no database: what it hears goes to the one that started it. Signing in blocks, and is done by a few threads
(`EventLoop.signing_in`); what stands needs none.
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
    """`endpoint` is asked at each connection, on a thread that signs in: an access token is good for an hour.

    `known`: what the last sync knew of INBOX, so that a connection does not ask for a sync that finds nothing.
    `others`: what syncs know of the other folders, which its owner replaces from time to time: STATUS tells what is
    news to them. `server`: whose connections take turns in signing in. `former`: a watcher of the same account whose
    connection ends first.

    Made, started, stopped and joined by any thread; all else is a task of the event loop."""

    def __init__(
        self,
        account_id: int,
        endpoint: Callable[[], Endpoint],
        tell: Callable[[WatcherEvent], None],
        *,
        loop: EventLoop,
        server: str,
        timing: Timing,
        known: FolderNumbers | None = None,
        former: AccountWatcher | None = None,
    ) -> None:
        self.account_id = account_id
        self.state = State.CONNECTING
        self._endpoint, self._tell, self._loop, self._server = endpoint, tell, loop, server
        self._timing, self._known = timing, known or FolderNumbers()
        self.others: Mapping[str, FolderNumbers] = {}
        self._told_of: dict[str, FolderNumbers] = {}
        self._former = former
        self._connected_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: Future[None] = Future()

    def start(self) -> None:
        self._loop.call(self._begin)

    def stop(self) -> None:
        """End soon; the connection is cut, which no server minds."""
        self._loop.call(self._cancel)

    def join(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            self._ended.result(seconds)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda _: self._ended.set_result(None))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        if self._former is not None:  # of three connections an account may have, one is for this
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
        """Until cancelled; what ends the connection otherwise is raised."""
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
        """IDLE, with a look at the other folders each minute, the first one at once."""
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
                self._known = FolderNumbers()  # not known any more, until the next connection
                self._tell(News(self.account_id))
                await asyncio.sleep(BREATH_SECONDS)
            elif not look_at <= time.monotonic() < renew_at:  # or the server fell silent
                await session.renew()
                renew_at = time.monotonic() + jittered(self._timing.renew)

    async def _look_at_others(self, session: IdleSession) -> None:
        """Each change is reported once; a folder of which the server reports nothing is left to the sync."""
        known = self.others
        for folder, numbers in (await session.statuses(list(known))).items():
            if numbers is None:
                self._tell(News(self.account_id, folder))
            elif numbers.is_news_to(known[folder]) and self._told_of.get(folder) != numbers:
                self._told_of[folder] = numbers
                self._tell(News(self.account_id, folder))

    async def _wait_after(self, error: Exception, failures: int, stated: float | None = None) -> int:
        """Wait longer each time, never less than the server asked for; returns how many failures there are in a row."""
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
