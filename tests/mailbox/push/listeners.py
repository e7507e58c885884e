"""Listeners to mail servers for tests: each in a thread of its own, with what it queued."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from mailbox.models import Account, SyncState
from mailbox.push import listener as push_listener
from mailbox.push import push_leases
from mailbox.push.listener import Listener
from mailbox.push.watcher import Timing
from tests.rows import folder_of
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until

MakeAccount = Callable[..., Account]
QUICK = Timing(renew=60, base_backoff=0.1, max_backoff=0.5, lasting=60, connect=5, command=5)


@dataclass
class Heard:
    """A listener in a thread of its own, and what it queued."""

    listener: Listener
    syncs: queue.Queue[int] = field(default_factory=queue.Queue)

    def next(self, seconds: float = 10) -> int:
        return self.syncs.get(timeout=seconds)

    def nothing(self) -> bool:
        return self.syncs.empty()

    def wait_for(self, account: Account, state: str | None, seconds: float = 15) -> None:
        wait_until(lambda: self.listener.states().get(str(account.pk)) == state, seconds=seconds, what=f"{state}")


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Heard]]:
    monkeypatch.setattr(push_listener, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(push_listener, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(push_leases, "BEAT_SECONDS", 0.2)
    running: list[tuple[Listener, threading.Thread]] = []

    def start(timing: Timing = QUICK) -> Heard:
        syncs: queue.Queue[int] = queue.Queue()
        heard = Heard(Listener(syncs.put, timing=timing), syncs)
        thread = threading.Thread(target=heard.listener.run)
        running.append((heard.listener, thread))
        thread.start()
        return heard

    yield start
    for listener, thread in running:
        listener.stop()
        thread.join(10)
    assert not any(thread.is_alive() for _, thread in running)


def in_step(account: Account, dovecot: Dovecot) -> None:
    """As after a sync: connecting brings no news then."""
    with dovecot.login(account.email) as imap:
        told = str(imap.status("INBOX", "(UIDVALIDITY UIDNEXT MESSAGES)")[1][0])
    answer = dict(re.findall(r"(MESSAGES|UIDNEXT|UIDVALIDITY) (\d+)", told))
    numbers = {"uidvalidity": answer["UIDVALIDITY"], "uidnext": answer["UIDNEXT"], "exists": answer["MESSAGES"]}
    SyncState.objects.update_or_create(account=account, folder=folder_of(account), defaults=numbers)
