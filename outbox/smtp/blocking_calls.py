"""Runs blocking calls (DNS, connecting, files) on threads beside an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
TICK_SECONDS = 2.0  # between two calls of `waiting`


async def in_thread(act: Callable[[], T], waiting: Callable[[], Awaitable[None]] | None = None) -> T:
    """Call `act` on a thread; return its result, or raise its exception. A cancelled call is not waited for.

    waiting: called every TICK_SECONDS meanwhile; if it raises, `act` is not waited for either.

    Not asyncio.to_thread: its threads take no work after the main thread has ended, and a worker that stops goes on
    until its mails are settled, for which it may have to connect again.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(answer: T | None, error: BaseException | None) -> None:
        if done.done():  # cancelled
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(answer)  # type: ignore[arg-type]  # None only where T holds it

    def run() -> None:
        answer: T | None = None
        caught: BaseException | None = None
        try:
            answer = act()
        except BaseException as error:
            caught = error
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits for the result
            loop.call_soon_threadsafe(tell, answer, caught)

    threading.Thread(target=run, name="blocking call", daemon=True).start()
    try:
        while waiting is not None and not done.done():
            await asyncio.wait([done], timeout=TICK_SECONDS)
            if not done.done():
                await waiting()
        return await done
    finally:
        done.cancel()  # what is told later is dropped
