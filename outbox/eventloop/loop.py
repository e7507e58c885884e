"""Many steps in one thread: it waits for all that they wait for at once, and goes round.

Threads of their own would fight for the interpreter, and each would wait for the others' commits; here whatever is to
be written when the thread comes by is one transaction. A server that keeps its session waiting holds up nobody. What
has to block (opening a session: names, TLS) does so in a thread beside this one and then comes back.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections

from outbox.eventloop import group_commit
from outbox.eventloop.coroutines import Apart, Ask, Ready, Rest, Steps
from outbox.eventloop.group_commit import Together

LONGEST_WAIT_SECONDS = 60.0
Answer = tuple[Any, BaseException | None]


@dataclass(eq=False)
class Ride:
    steps: Steps[None]
    asked: Ask | None = None
    until: float = 0.0  # time.monotonic(), of a Ready or a Rest


class Carousel:
    """Its thread lives as long as something rides. It is no daemon: a process that ends waits for the answers that its
    rides still wait for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._arrived: deque[tuple[Ride, Answer]] = deque()
        self._apart = 0  # rides that are in another thread for a while
        self._waiting: dict[Ride, int] = {}  # with the descriptor it waits for, -1 for a Rest
        self._by_descriptor: dict[int, Ride] = {}
        self._to_write: list[Ride] = []
        self._poll = select.poll()
        self._bell: tuple[int, int] | None = None  # wakes the thread; there is one while it lives

    def put(self, steps: Steps[None]) -> None:
        """Take these along. What they raise is lost: they have to know what to do about it."""
        with self._lock:
            self._arrive(Ride(steps), (None, None))
            if self._bell is None:
                self._bell = os.pipe()
                self._poll.register(self._bell[0], select.POLLIN)
                threading.Thread(target=self._go_round, args=(self._bell[0],), name=self._name).start()

    def _arrive(self, ride: Ride, answer: Answer) -> None:
        self._arrived.append((ride, answer))
        if self._bell is not None:
            os.write(self._bell[1], b"!")

    # --- The thread ---------------------------------------------------------------------------------------------
    def _go_round(self, bell: int) -> None:
        try:
            while not self._is_over():
                self._let_in()
                self._wait(bell)
                self._write()
        finally:
            connections.close_all()

    def _is_over(self) -> bool:
        with self._lock:
            if self._arrived or self._apart or self._waiting or self._to_write or self._bell is None:
                return False
            bell, self._bell = self._bell, None
            self._poll.unregister(bell[0])
        for descriptor in bell:
            os.close(descriptor)
        return True

    def _let_in(self) -> None:
        while self._arrived:
            ride, (answer, error) = self._arrived.popleft()
            if ride.asked is not None:
                with self._lock:
                    self._apart -= 1
            self._go_on(ride, answer, error)

    def _wait(self, bell: int) -> None:
        if self._arrived or not (self._apart or self._waiting or self._to_write):
            return
        now = time.monotonic()
        seconds = min((ride.until - now for ride in self._waiting), default=LONGEST_WAIT_SECONDS)
        seconds = 0.0 if self._to_write else min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
        for descriptor, _events in self._poll.poll(seconds * 1000):
            if descriptor == bell:
                os.read(bell, 4096)
            else:
                self._awake(self._by_descriptor[descriptor], True)
        now = time.monotonic()
        for ride in [each for each in self._waiting if each.until <= now]:
            self._awake(ride, False if self._waiting[ride] >= 0 else None)

    def _awake(self, ride: Ride, answer: bool | None) -> None:
        descriptor = self._waiting.pop(ride)
        if descriptor >= 0:
            del self._by_descriptor[descriptor]
            self._poll.unregister(descriptor)
        self._go_on(ride, answer, None)

    def _write(self) -> None:
        rides, self._to_write = self._to_write, []
        if not rides:
            return
        acts = [ride.asked.act for ride in rides if isinstance(ride.asked, Together)]
        for ride, done in zip(rides, group_commit.run_all(acts), strict=True):
            self._go_on(ride, done.answer, done.error)

    def _go_on(self, ride: Ride, answer: Any, error: BaseException | None) -> None:
        """Up to what it waits for next."""
        try:
            asked = ride.steps.send(answer) if error is None else ride.steps.throw(error)
            ride.asked = asked
        except BaseException:  # StopIteration at the end; nothing else must stop the others
            return
        if isinstance(asked, Ready):
            ride.until = asked.until
            self._waiting[ride], self._by_descriptor[asked.descriptor] = asked.descriptor, ride
            self._poll.register(asked.descriptor, asked.events)
        elif isinstance(asked, Together):
            self._to_write.append(ride)
        elif isinstance(asked, Rest):
            ride.until = time.monotonic() + asked.seconds
            self._waiting[ride] = -1
        else:
            assert isinstance(asked, Apart), asked
            self._send_apart(ride, asked.act)

    def _send_apart(self, ride: Ride, act: Callable[[], object]) -> None:
        def run() -> None:
            answer: Answer = (None, None)
            try:
                answer = (act(), None)
            except BaseException as error:
                answer = (None, error)
            finally:
                connections.close_all()
                with self._lock:
                    self._arrive(ride, answer)

        with self._lock:
            self._apart += 1
        threading.Thread(target=run, name=f"{self._name}, apart").start()
