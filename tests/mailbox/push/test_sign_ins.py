"""Signing in: a few at once for a server, whatever other servers do; each connection asks for its credentials anew."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mailbox.models import Account
from mailbox.oauth import refresh
from mailbox.push import event_loop
from mailbox.push.event_loop import EventLoop
from tests.mailbox.push.listeners import QUICK, Heard, MakeAccount, in_step, listen
from tests.mailbox.sync.synced import mail
from tests.rows import folder_of
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until

__all__ = ["listen"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.stop(5)


class SignIns:
    """Sign-ins that wait until they are let go, counted by server."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop, self.go = loop, threading.Event()
        self.began: list[str] = []
        self.ended: list[str] = []
        self.unused: list[str] = []
        self.tasks: list[asyncio.Task[str]] = []

    def start(self, server: str, count: int = 1) -> None:
        def begin() -> None:
            for _ in range(count):
                signing = self.loop.signing_in(server, lambda: self._sign_in(server), unused=self.unused.append)
                self.tasks.append(asyncio.get_running_loop().create_task(signing))

        self.loop.call(begin)

    def _sign_in(self, server: str) -> str:
        self.began.append(server)
        assert self.go.wait(30)
        self.ended.append(server)
        return server

    def wait_for(self, server: str, count: int) -> None:
        wait_until(lambda: self.began.count(server) == count, seconds=10, what=f"{count} sign-ins at {server}")


def test_after_an_outage_a_server_sees_a_few_sign_ins_at_once(loop: EventLoop) -> None:
    sign_ins = SignIns(loop)
    sign_ins.start("back again", 30)
    sign_ins.wait_for("back again", event_loop.SIGN_INS_OF_A_SERVER)
    sign_ins.start("another")
    sign_ins.wait_for("another", 1)  # it does not wait for the first, whose places are all taken
    assert sign_ins.began.count("back again") == event_loop.SIGN_INS_OF_A_SERVER < 30
    sign_ins.go.set()
    wait_until(lambda: len(sign_ins.ended) == 31, seconds=10, what="all to be signed in")


def test_a_sign_in_that_is_cancelled_ends_first_and_what_it_made_is_closed(loop: EventLoop) -> None:
    sign_ins = SignIns(loop)
    sign_ins.start("a server")
    sign_ins.wait_for("a server", 1)
    loop.call(sign_ins.tasks[0].cancel)
    seen = threading.Event()
    loop.call(lambda: loop.call(seen.set))  # the cancelling has been seen to
    assert seen.wait(10) and not sign_ins.tasks[0].done() and not sign_ins.unused
    sign_ins.go.set()
    wait_until(sign_ins.tasks[0].done, seconds=10, what="the task to end")
    assert sign_ins.tasks[0].cancelled() and sign_ins.unused == ["a server"]


def test_a_server_that_answers_nobody_holds_up_no_other(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        nowhere = {"imap_host": "127.0.0.1", "imap_port": port, "smtp_host": "localhost", "smtp_port": 1}
        dead = [make_account(**nowhere) for _ in range(event_loop.SIGN_INS_OF_A_SERVER + 2)]
        for account in dead:
            folder_of(account)
        account = make_account()
        in_step(account, dovecot)
        heard = listen(replace(QUICK, connect=60))
        heard.wait_for(account, "connected")
        assert {heard.listener.states()[str(each.pk)] for each in dead} == {"connecting"}


def test_a_connection_that_is_made_again_asks_for_the_token_of_then(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account(imap_password="wrong")
    in_step(account, dovecot)
    asked: list[int] = []

    def ensure_fresh(found: Account, kind: str) -> None:
        asked.append(found.pk)
        found.imap.password = dovecot.password

    monkeypatch.setattr(refresh, "ensure_fresh", ensure_fresh)
    heard = listen()
    heard.wait_for(account, "connected")
    assert asked == [account.pk]
    dovecot.kill()
    heard.wait_for(account, "waiting")
    dovecot.start()
    heard.wait_for(account, "connected")
    assert len(asked) >= 2
    dovecot.append(account.email, "INBOX", mail(7))
    assert heard.next() == account.pk
