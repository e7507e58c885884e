"""Runs blocking calls (DNS, connecting, files) on threads beside an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
TICK_SECONDS = 2.0  # between two calls of `waiting`


async def in_thread(act: Callable[[], T], waiting: Callable[[], Awaitable[None]] | None = None) -> T:
    """Call `act` on a thread; return its result, or raise its exception. A cancelled call is not waited for.

    waiting: called every TICK_SECONDS meanwhile; if it raises, `act` is not waited for either.

    Not asyncio.to_thread: its threads take no work after the main thread has ended, and a worker that stops goes on
    until its mails are settled, for which it may have to connect again.
    """
    found = Future[T]()
    found.set_running_or_notify_cancel()  # from now on it cannot be cancelled

    def run() -> None:
        try:
            found.set_result(act())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=run, name="blocking call", daemon=True).start()
    done = asyncio.wrap_future(found)
    try:
        while waiting is not None and not done.done():
            await asyncio.wait([done], timeout=TICK_SECONDS)
            if not done.done():
                await waiting()
        return await done
    finally:
        done.cancel()  # what is told later is dropped
