"""Work as steps: a generator that yields what it waits for, so that one code runs alone in a thread or beside many.

What is yielded is an Ask. `to_the_end` does each of them here and now, in the thread it is called in; a `Carousel`
waits for many at once. An answer is sent into the generator, an error is thrown into it.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")


class Ask:
    """Something to wait for."""

    def here(self) -> Any:
        """Wait for it in this thread; its answer."""
        raise NotImplementedError


Steps: TypeAlias = Generator[Ask, Any, T]


@dataclass(frozen=True, slots=True)
class Ready(Ask):
    """Until a socket has something to read, or takes something; answers False when that is not so by `until`
    (time.monotonic())."""

    descriptor: int
    until: float
    to_write: bool = False

    @property
    def events(self) -> int:
        return select.POLLOUT if self.to_write else select.POLLIN

    def here(self) -> bool:
        poll = select.poll()
        poll.register(self.descriptor, self.events)
        return bool(poll.poll(max(0.0, self.until - time.monotonic()) * 1000))


@dataclass(frozen=True, slots=True)
class Rest(Ask):
    """Some seconds, for which nothing is to be done."""

    seconds: float

    def here(self) -> None:
        time.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Apart(Ask, Generic[T]):
    """What cannot be written as steps and may take its time: where many run in one thread, another thread does it."""

    act: Callable[[], T]

    def here(self) -> T:
        return self.act()


def to_the_end(steps: Steps[T]) -> T:
    """Run the steps in this thread, waiting wherever they wait; what they return. Raises what they raise."""
    return resumed(steps, None)


def resumed(steps: Steps[T], asked: Ask | None) -> T:
    """`to_the_end` of steps that wait for `asked` already."""
    answer: Any = None
    error: BaseException | None = None
    try:
        while True:
            if asked is None:
                asked = next(steps)
            answer = error = None
            try:
                answer = asked.here()
            except BaseException as raised:
                error = raised
            asked = steps.send(answer) if error is None else steps.throw(error)
    except StopIteration as end:
        found: T = end.value
        return found
