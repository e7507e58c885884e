"""The processes of all hosts divide the accounts by leases: each takes its share, gives back what another has room for,
and takes what a dead one had, when its leases have ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from mailbox.models import Account, Lease, PushHeartbeat
from mailbox.push import push_leases
from mailbox.push.push_leases import PushLeases, fair_number
from tests.mailbox.push.listeners import Heard, MakeAccount, in_step, listen
from tests.mailbox.sync.synced import mail
from tests.rows import NOWHERE
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import ROOT, environment

__all__ = ["listen"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


def looked(share: PushLeases, accounts: list[int], now: datetime) -> set[int]:
    """What a process does at each look; returns what it listens to."""
    share._next_beat = 0.0
    share.keep({}, now)
    share.give_back(share.too_many(accounts, now))
    share.take(accounts, now)
    held = set(Lease.objects.filter(purpose="push", token=share.token).values_list("account_id", flat=True))
    assert held == share.held
    return held


@pytest.fixture
def accounts(make_account: MakeAccount) -> list[int]:
    return [make_account(**NOWHERE).pk for _ in range(5)]


@pytest.mark.parametrize(
    ("accounts", "processes", "most", "share"),
    [
        (10, 1, 1000, 10),
        (10, 2, 1000, 5),
        (11, 2, 1000, 6),
        (10, 3, 1000, 4),
        (0, 2, 9, 0),
        (10, 2, 3, 3),
        (5, 0, 9, 5),
    ],
)
def test_a_share_is_as_large_as_any_other_and_bounded(accounts: int, processes: int, most: int, share: int) -> None:
    assert fair_number(accounts, processes, most) == share


def test_a_second_process_gets_its_part_and_the_first_has_all_again_when_it_ends(accounts: list[int]) -> None:
    now, first, second = timezone.now(), PushLeases(), PushLeases()
    assert looked(first, accounts, now) == set(accounts)
    assert looked(second, accounts, now) == set()  # nothing is taken from who has it
    assert len(looked(first, accounts, now)) == 3
    assert len(looked(second, accounts, now)) == 2 and not first.held & second.held
    assert (looked(first, accounts, now), looked(second, accounts, now)) == (first.held, second.held)  # it is settled
    second.end()
    assert looked(first, accounts, now) == set(accounts)


def test_a_large_surplus_is_given_back_in_steps(accounts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_leases, "GIVEN_BACK_AT_ONCE", 1)
    now, first, second = timezone.now(), PushLeases(), PushLeases()
    looked(first, accounts, now), looked(second, accounts, now)
    assert [len(looked(first, accounts, now)) for _ in range(3)] == [4, 3, 3]


def test_what_a_dead_process_had_is_taken_when_its_leases_have_ended_and_not_before(accounts: list[int]) -> None:
    now, dead, second = timezone.now(), PushLeases(), PushLeases()
    looked(dead, accounts, now)
    looked(second, accounts, now)
    assert PushHeartbeat.LEASE + timedelta(seconds=2 * 3) < timedelta(seconds=30)  # two looks and the time to connect
    assert looked(second, accounts, now + PushHeartbeat.LEASE - timedelta(seconds=1)) == set()
    assert looked(second, accounts, now + PushHeartbeat.LEASE + timedelta(seconds=1)) == set(accounts)


def test_who_slept_beyond_its_leases_knows_that_it_has_none_and_who_comes_back_gets_its_part(
    accounts: list[int],
) -> None:
    now, sleeper, second = timezone.now(), PushLeases(), PushLeases()
    looked(sleeper, accounts, now), looked(second, accounts, now)
    at = time.monotonic()
    assert not sleeper.has_lapsed(at + push_leases.LEASE_SECONDS - 1)
    assert sleeper.has_lapsed(at + push_leases.LEASE_SECONDS + 1)
    later = now + PushHeartbeat.LEASE + timedelta(seconds=1)
    looked(second, accounts, later)
    sleeper._next_beat = 0.0
    sleeper.keep({}, later)  # even one whose own clock stood still
    assert sleeper.held == set()
    looked(second, accounts, later)
    assert len(looked(sleeper, accounts, later)) == 2


def test_accounts_that_are_deleted_paused_or_beyond_the_bound_are_not_held(accounts: list[int], settings: Any) -> None:
    settings.PUSH_CONNECTIONS = 4
    now, share = timezone.now(), PushLeases()
    assert looked(share, accounts, now) == set(accounts[:4])
    Account.objects.get(pk=accounts[0]).delete()
    assert looked(share, accounts[2:], now) == set(accounts[2:])  # the second is paused


# --- With connections -----------------------------------------------------------------------------------------------
def test_processes_divide_the_accounts_and_one_has_all_when_the_other_ends(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    accounts = [make_account() for _ in range(4)]
    for account in accounts:
        in_step(account, dovecot)
    first = listen()
    wait_until(lambda: list(first.listener.states().values()) == ["connected"] * 4, seconds=15, what="the first")
    second = listen()
    both = (first, second)
    wait_until(
        lambda: all(list(each.listener.states().values()) == ["connected"] * 2 for each in both),
        seconds=20,
        what="a half each",
    )
    assert set(first.listener.states()) | set(second.listener.states()) == {str(account.pk) for account in accounts}
    wait_until(lambda: len(PushHeartbeat.connected(timezone.now())) == 4, seconds=10, what="the rows to say so")
    for account in accounts:
        owner = first if str(account.pk) in first.listener.states() else second
        dovecot.append(account.email, "INBOX", mail(7))
        assert owner.next() == account.pk
    assert first.nothing() and second.nothing()
    first.listener.stop()
    wait_until(lambda: list(second.listener.states().values()) == ["connected"] * 4, seconds=20, what="the second")


def test_a_process_that_cannot_renew_ends_its_connections_before_another_has_them_and_loses_no_news(
    make_account: MakeAccount, dovecot: Dovecot, listen: Callable[..., Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    in_step(account, dovecot)
    heard = listen()
    heard.wait_for(account, "connected")

    def away(*_: object) -> None:
        raise OperationalError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(heard.listener._leases, "keep", away)
        patch.setattr(push_leases, "LEASE_SECONDS", 0.5)
        heard.wait_for(account, None)
        dovecot.append(account.email, "INBOX", mail(7))
    heard.wait_for(account, "connected")
    assert heard.next() == account.pk


@pytest.mark.long
def test_what_a_killed_process_listened_to_is_listened_to_by_the_other(
    make_account: MakeAccount, dovecot: Dovecot, tmp_path: Path, listen: Callable[..., Heard]
) -> None:
    account = make_account()
    in_step(account, dovecot)
    with (tmp_path / "idle.log").open("wb") as output:
        killed = subprocess.Popen(
            [sys.executable, "manage.py", "idle"], cwd=ROOT, env=environment(), stdout=output, stderr=output
        )
    try:
        state = {str(account.pk): "connected"}
        wait_until(lambda: PushHeartbeat.objects.filter(states=state).exists(), seconds=60, what="it to connect")
        heard = listen()
        wait_until(lambda: PushHeartbeat.objects.count() == 2, seconds=10, what="the other one")
        assert heard.listener.states() == {}
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    dovecot.append(account.email, "INBOX", mail(7))
    assert heard.listener.states() == {}
    ago = timezone.now() - PushHeartbeat.LEASE  # as if the lease's time had gone by
    PushHeartbeat.objects.filter(pid=killed.pid).update(seen_at=ago)
    Lease.objects.update(expires_at=timezone.now())
    heard.wait_for(account, "connected")
    assert heard.next() == account.pk
