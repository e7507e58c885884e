"""The event loop of the idle process, on a thread of its own, and the few threads that sign in for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# A server that answers nobody holds each of its sign-ins for the whole time-out: it may not hold those of others.
SIGN_INS_OF_A_SERVER = 8
SIGN_INS_AT_ONCE = 32
T = TypeVar("T")


class EventLoop:
    """Runs from the first call() until stop()."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="push", daemon=True)
        self._pool = ThreadPoolExecutor(SIGN_INS_AT_ONCE, thread_name_prefix="sign-in")
        self._gates: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SIGN_INS_OF_A_SERVER))

    def call(self, function: Callable[[], object]) -> None:
        """Soon, on the loop's thread, in the order of the calls; from any other one."""
        if not self._thread.is_alive():
            self._thread.start()
        self._loop.call_soon_threadsafe(function)

    async def signing_in(self, server: str, sign_in: Callable[[], T], *, unused: Callable[[T], object]) -> T:
        """What `sign_in` returns, called by one of the threads, a few at once for a server.

        Who is cancelled waits for the thread, so that no account has two connections; what it made goes to `unused`.
        """
        async with self._gates[server]:
            signing = asyncio.get_running_loop().run_in_executor(self._pool, sign_in)
            try:
                return await asyncio.shield(signing)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    unused(await signing)
                raise

    def stop(self, seconds: float) -> None:
        """After the tasks have ended; a thread that signs in at this moment is left to the end of the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(seconds)
