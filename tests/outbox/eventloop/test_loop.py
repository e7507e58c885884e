"""Many steps in one thread: what waits holds up nobody, what is written is written together, what fails fails alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from django.db import OperationalError

from outbox.eventloop import group_commit
from outbox.eventloop.coroutines import Apart, Ready, Rest, Steps, to_the_end
from outbox.eventloop.group_commit import Together
from outbox.eventloop.loop import Carousel
from outbox.models import DeliveryCall

pytestmark = pytest.mark.django_db(transaction=True)


def ended(done: Callable[[], bool], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.01)
    return done()


def nobody_rides() -> bool:
    return not any(thread.name.startswith("test") for thread in threading.enumerate())


def test_what_blocks_and_what_waits_for_a_silent_server_holds_up_nobody() -> None:
    carousel, silent, log, release = Carousel("test"), socket.socketpair(), list[object](), threading.Event()

    def waits() -> Steps[None]:
        log.append((yield Ready(silent[0].fileno(), time.monotonic() + 30)))

    def opens() -> Steps[None]:
        log.append((yield Apart(lambda: release.wait(30))))

    def is_quick() -> Steps[None]:
        yield Rest(0.01)
        log.append((yield Together(lambda: threading.current_thread().name)))

    for steps in (waits(), opens(), is_quick()):
        carousel.put(steps)
    assert ended(lambda: log == ["test"])
    release.set()
    silent[1].send(b"250 ok")
    assert ended(lambda: len(log) == 3) and log == ["test", True, True]
    assert ended(nobody_rides)


def test_what_is_not_ready_in_time_is_told_so() -> None:
    carousel, silent, log = Carousel("test"), socket.socketpair(), list[object]()

    def waits() -> Steps[None]:
        log.append((yield Ready(silent[0].fileno(), time.monotonic() + 0.05)))

    carousel.put(waits())
    assert ended(lambda: log == [False]) and ended(nobody_rides)


def test_what_comes_by_together_is_one_transaction_and_each_gets_its_own_answer_or_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carousel, answers, commits, begun = Carousel("test"), dict[int, object](), list[int](), list[int]()
    pipe = socket.socketpair()
    real = group_commit.run_all

    def seen(acts: Sequence[Callable[[], int]]) -> list[group_commit.Done[int]]:
        commits.append(len(acts))
        return real(acts)

    monkeypatch.setattr(group_commit, "run_all", seen)

    def writes(pk: int) -> Steps[None]:
        begun.append(pk)
        yield Ready(pipe[0].fileno() if pk == 500 else socket.dup(pipe[0].fileno()), time.monotonic() + 30)

        def act() -> int:
            if pk == 502:
                raise OperationalError("this one only")
            DeliveryCall.objects.create(pk=pk)
            return pk

        try:
            answers[pk] = yield Together(act)
        except OperationalError as error:
            answers[pk] = str(error)

    for pk in (500, 501, 502):
        carousel.put(writes(pk))
    assert ended(lambda: len(begun) == 3)  # so that the next poll finds all three
    pipe[1].send(b"x")

    assert ended(lambda: len(answers) == 3)
    assert answers == {500: 500, 501: 501, 502: "this one only"} and commits == [3]
    assert DeliveryCall.objects.filter(pk__in=(500, 501, 502)).count() == 2
    assert ended(nobody_rides)


def test_steps_that_raise_end_alone_and_the_thread_comes_back_for_the_next() -> None:
    carousel, log = Carousel("test"), list[str]()

    def fails() -> Steps[None]:
        yield Rest(0)
        raise RuntimeError("a fault of ours")

    def goes_on(word: str) -> Steps[None]:
        yield Rest(0.05)
        log.append(word)

    carousel.put(fails())
    carousel.put(goes_on("first"))
    assert ended(lambda: log == ["first"]) and ended(nobody_rides)
    carousel.put(goes_on("second"))
    assert ended(lambda: log == ["first", "second"]) and ended(nobody_rides)


def test_an_error_of_what_blocks_is_raised_where_it_was_asked_for() -> None:
    carousel, log = Carousel("test"), list[str]()

    def refuse() -> None:
        raise OSError("no route")

    def opens() -> Steps[str]:
        try:
            yield Apart(refuse)
        except OSError as error:
            return str(error)
        return ""

    def tells() -> Steps[None]:
        log.append((yield from opens()))

    carousel.put(tells())
    assert ended(lambda: log == ["no route"])
    assert to_the_end(opens()) == "no route"
