"""The asyncio event loop of the idle process, on a thread of its own, and the thread pool that signs in for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# A server that does not answer keeps each of its sign-ins waiting for the whole time-out. This limit leaves threads of
# the pool to other servers.
SIGN_INS_OF_A_SERVER = 8
SIGN_INS_AT_ONCE = 32
T = TypeVar("T")


class EventLoop:
    """The loop runs from the first call() until stop()."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="push", daemon=True)
        self._pool = ThreadPoolExecutor(SIGN_INS_AT_ONCE, thread_name_prefix="sign-in")
        self._gates: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SIGN_INS_OF_A_SERVER))

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` soon on the loop's thread. May be called from any other thread; the order is kept."""
        if not self._thread.is_alive():
            self._thread.start()
        self._loop.call_soon_threadsafe(function)

    async def signing_in(self, server: str, sign_in: Callable[[], T], *, unused: Callable[[T], object]) -> T:
        """Call `sign_in`, which blocks, on a thread of the pool and return its result.

        At most SIGN_INS_OF_A_SERVER run at once for one `server`. A task that is cancelled still waits for its thread,
        so that an account never has two connections, and hands the result to `unused`.
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
        """Stop the loop; call it when the tasks have ended. A thread that is signing in ends with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(seconds)
