"""What is about no account and needs a person: hosts, the clock, push, disks, pauses, and mail that is late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Schedule

from alerts.models import Kind
from alerts.problems.find import find_problems
from mailbox.models import Account, PushHeartbeat, Transport, WorkerHeartbeat
from mailbox.storage.usage import free_percent
from mailbox.tasks import beat
from outbox.models import OutboxMessage, SendingSwitch
from tests.rows import NOWHERE, outbox_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def account(make_account: Callable[..., Account], now: datetime) -> Account:
    """Somebody works, and nothing is wrong."""
    alive("web1", now)
    Schedule.objects.update(next_run=now + timedelta(minutes=1))
    account = make_account("ops@example.com", **NOWHERE)
    Account.objects.filter(pk=account.pk).update(sync_enabled=False)
    return account


def alive(host: str, seen: datetime, **fields: Any) -> None:
    WorkerHeartbeat.objects.create(host=host, cluster_pid=1, started_at=seen, seen_at=seen, **fields)


def found(now: datetime) -> dict[str, str]:
    return {each.key: each.sentence for each in find_problems(now).found}


def test_nothing_is_found_where_all_is_well(account: Account, now: datetime) -> None:
    assert found(now) == {}


def test_one_host_of_two_that_is_gone_is_named(account: Account, now: datetime) -> None:
    alive("web2", now - timedelta(minutes=5))
    assert list(found(now)) == ["host:web2"]
    assert "web2" in found(now)["host:web2"]


def test_the_only_host_that_is_gone_is_said_once_as_no_worker(account: Account, now: datetime) -> None:
    later = now + timedelta(minutes=10)
    seen = find_problems(later)
    assert [each.key for each in seen.found] == ["workers"]
    assert Kind.HOST in seen.unknown and Kind.LATE in seen.unknown


def test_a_beat_of_a_clock_that_was_ahead_is_no_sign_of_life(account: Account, now: datetime) -> None:
    alive("web2", now + timedelta(days=365))
    assert list(found(now)) == ["host:web2"]
    WorkerHeartbeat.objects.filter(host="web1").update(seen_at=now - timedelta(minutes=5))
    words = found(now)
    assert list(words) == ["workers"]
    assert f"{now - timedelta(minutes=5):%Y-%m-%d %H:%M}" in words["workers"]


@pytest.mark.parametrize("name", ["mailbox: sync", "outbox: sweep on the minute", "alerts: post events"])
def test_a_clock_that_starts_nothing_is_said_after_five_minutes(account: Account, now: datetime, name: str) -> None:
    late = Schedule.objects.filter(name=name)
    assert late.update(next_run=now - timedelta(minutes=4)) == 1
    assert found(now) == {}
    late.update(next_run=now - timedelta(minutes=5))
    assert list(found(now)) == ["schedules"]


def test_a_schedule_that_has_run_as_often_as_it_was_to_is_not_late(account: Account, now: datetime) -> None:
    """As one that an operator made in the admin for one run: django-q2 keeps its row, and never runs it again."""
    ended = {"func": "mailbox.tasks.beat", "schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": 0}
    Schedule.objects.create(name="once more", next_run=now - timedelta(hours=1), **ended)
    assert found(now) == {}


def test_push_that_is_gone_is_said_where_an_account_wants_it(account: Account, now: datetime) -> None:
    Account.objects.update(sync_enabled=True)
    assert "has not run yet" in found(now)["push"]
    row = PushHeartbeat.objects.create(pk=1, token="t", host="web1", pid=1, started_at=now, seen_at=now)
    assert "push" not in found(now)
    PushHeartbeat.objects.filter(pk=row.pk).update(seen_at=now - timedelta(minutes=2))
    assert "was last seen" in found(now)["push"]


def test_push_that_is_switched_off_is_not_missed(account: Account, now: datetime, settings: Any) -> None:
    Account.objects.update(sync_enabled=True)
    settings.PUSH_ENABLED = False
    assert "push" not in found(now)


def test_a_disk_that_is_nearly_full_is_named_with_its_host(account: Account, now: datetime) -> None:
    alive("web2", now, disk_free_percent=9)
    alive("web3", now, disk_free_percent=10)
    assert found(now) == {"disk:web2": "The data folder's disk on web2 has 9 % free."}


def test_a_disk_of_stored_mail_alone_that_is_nearly_full_is_named_too(account: Account, now: datetime) -> None:
    alive("web2", now, disk_free_percent=50, store_disk_free_percent=9)
    alive("web3", now, disk_free_percent=None, store_disk_free_percent=8)
    alive("web4", now, disk_free_percent=7, store_disk_free_percent=7)  # the same disk
    alive("web5", now, disk_free_percent=50, store_disk_free_percent=10)
    assert found(now) == {
        "disk-store:web2": "The disk with stored mail, as web2 sees it, has 9 % free.",
        "disk-store:web3": "The disk with stored mail, as web3 sees it, has 8 % free.",
        "disk:web4": "The data folder's disk on web4 has 7 % free.",
    }


def test_a_heartbeat_says_how_full_the_disk_is(settings: Any) -> None:
    beat()
    row = WorkerHeartbeat.objects.get()
    assert row.disk_free_percent is not None
    assert abs(row.disk_free_percent - (free_percent(settings.DATA_DIR) or -99)) <= 1
    assert free_percent(settings.DATA_DIR / "not there") is None


def test_all_sending_paused_is_an_incident_with_its_reason(account: Account, now: datetime) -> None:
    SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": now, "reason": "Moving the relay."})
    assert found(now)["paused"].endswith("Moving the relay.")


def test_mail_that_is_due_and_not_tried_is_late_after_ten_minutes(account: Account, now: datetime) -> None:
    row = outbox_row(account)
    OutboxMessage.objects.filter(pk=row.pk).update(next_attempt_at=now - timedelta(minutes=9))
    assert found(now) == {}
    OutboxMessage.objects.filter(pk=row.pk).update(next_attempt_at=now - timedelta(minutes=10))
    assert list(found(now)) == ["late"]


@pytest.mark.parametrize("reason", ["rate limit", "server unavailable", "account paused", "sending paused", "sign-in"])
def test_mail_that_waits_for_a_reason_is_not_late(account: Account, now: datetime, reason: str) -> None:
    row = outbox_row(account)
    OutboxMessage.objects.filter(pk=row.pk).update(next_attempt_at=now - timedelta(hours=1))
    if reason == "rate limit":
        Account.objects.update(messages_per_minute=1)
    elif reason == "server unavailable":
        Transport.objects.filter(pk=account.smtp_id).update(next_allowed_at=now + timedelta(minutes=1))
    elif reason == "account paused":
        Account.objects.update(sending_paused_at=now)
    elif reason == "sending paused":
        SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": now})
    else:
        Transport.objects.filter(pk=account.smtp_id).update(needs_sign_in_since=now)
    assert "late" not in found(now)
