"""The thread of a folder's run that talks to the IMAP server, while the run's own thread writes to the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from mailbox.sync.account_session import AccountSession
from mailbox.sync.prefetch import FetchedBatch

RENEW_SECONDS = 30.0  # the lease is renewed this often while the run waits for server or parsers
_counting = threading.Lock()


class FetchThread:
    """One thread that runs the fetches of a folder, one at a time."""

    count = 0  # such threads in this process

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
            self._session.imap.close(politely=False)  # the task's time-out: end a wait for the server at once
        self._pool.shutdown()  # waits: nobody else may use the connection before the thread has ended
        with _counting:
            FetchThread.count -= 1

    def begin(self, step: Callable[[], FetchedBatch]) -> Future[FetchedBatch]:
        """Start the step on the thread when the steps before it have ended."""
        return self._pool.submit(step)

    def wait(self, coming: Future[FetchedBatch]) -> FetchedBatch:
        """Wait for the step and return its result, or raise what it raised. Renews the lease while it waits."""
        while True:
            try:
                return coming.result(RENEW_SECONDS)
            except TimeoutError:
                if coming.done():
                    raise
                self._session.renew()
