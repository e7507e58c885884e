"""The two threads of a folder's run: one asks the server, the other writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from mailbox.sync.account_session import AccountSession
from mailbox.sync.prefetch import Fetched

RENEW_SECONDS = 30.0  # the lease, while server or parsers are waited for
_counting = threading.Lock()


class FetchThread:
    """Where the server is asked, while here the database is."""

    count = 0  # of this process

    def __init__(self, session: AccountSession) -> None:
        self._session = session

    def __enter__(self) -> Self:
        with _counting:
            FetchThread.count += 1
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            self._session.imap.close(politely=False)  # the task's time-out: do not wait for the server any longer
        self._pool.shutdown()  # two must not speak on one connection
        with _counting:
            FetchThread.count -= 1

    def begin(self, step: Callable[[], Fetched]) -> Future[Fetched]:
        return self._pool.submit(step)

    def wait(self, coming: Future[Fetched]) -> Fetched:
        """What the step brings, or raises; the lease is kept as long as it lasts."""
        while True:
            try:
                return coming.result(RENEW_SECONDS)
            except TimeoutError:
                if coming.done():
                    raise
                self._session.renew()
