"""Redis as the broker: a bell. When it cannot be rung, what is asked for is stored and done all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone
from django_q.brokers.redis_broker import Redis as FormerBroker
from django_q.conf import Conf
from django_q.models import OrmQ
from pytest_django import Settings
from redis import Redis

from mailbox.models import Account, WorkerHeartbeat
from mailbox.tasks import sync as sync_tasks
from outbox import api
from outbox.models import OutboxMessage
from prx_email_site.broker import RedisBroker
from tests.rows import NOWHERE
from tests.servers.ports import wait_until
from tests.servers.redis import RedisServer
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
Accounts = Callable[..., Account]


@pytest.fixture
def redis(redis: RedisServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """The broker of this process, too."""
    settings.BROKER_URL = redis.url
    monkeypatch.setattr(Conf, "BROKER_CLASS", "prx_email_site.broker.RedisBroker")
    monkeypatch.setattr(RedisBroker, "_away_until", 0.0)
    return redis


@pytest.mark.long
def test_mail_goes_out_before_while_and_after_redis_is_away(
    redis: RedisServer, account_on: Accounts, smtp_server: Callable[..., SmtpServer],
    start_workers: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server = smtp_server("tls")
    account = account_on(server)
    workers = start_workers(PRX_EMAIL_BROKER_URL=redis.url)

    def send(subject: str) -> None:
        assert api.queue(account.pk, "bob@example.test", subject, "A text.").data
        wait_until(lambda: not OutboxMessage.objects.exclude(status="sent").exists(), seconds=90, what=subject)

    try:
        send("with Redis")
        redis.kill()
        send("without Redis")
        redis.start()
        monkeypatch.setattr(RedisBroker, "_away_until", 0.0)
        send("with Redis again")
    except TimeoutError:
        pytest.fail(workers.log())
    assert len(server.mails()) == 3
    assert workers.process.poll() is None


@pytest.mark.long
def test_what_redis_held_when_it_died_is_found_in_the_database(
    redis: RedisServer, account_on: Accounts, smtp_server: Callable[..., SmtpServer],
    start_workers: Callable[..., Cluster],
) -> None:  # fmt: skip
    """It comes back empty, as it keeps nothing on disk."""
    server = smtp_server("tls")
    account = account_on(server)
    assert api.queue(account.pk, "bob@example.test", "rung and forgotten", "A text.").data
    with Redis(port=redis.port) as client:
        assert client.llen(RedisBroker().list_key) and not OrmQ.objects.exists()
        redis.kill()
        redis.start()
        assert not client.llen(RedisBroker().list_key)
    workers = start_workers(PRX_EMAIL_BROKER_URL=redis.url)
    try:
        wait_until(lambda: server.mails(), seconds=120, what="the mail")
    except TimeoutError:
        pytest.fail(workers.log())
    assert len(server.mails()) == 1


def test_two_installations_on_one_redis_take_their_own_tasks_alone(redis: RedisServer, settings: Settings) -> None:
    ours = RedisBroker()
    settings.SECRET_KEY = "of another installation " * 3
    others = RedisBroker()
    for broker, task in ((ours, "ours"), (others, "another's")):
        broker.enqueue(task)
    assert [task for _, task in ours.dequeue()] == [b"ours"] and ours.dequeue() is None
    assert [task for _, task in others.dequeue()] == [b"another's"]


def test_what_an_earlier_release_has_queued_is_taken(redis: RedisServer) -> None:
    ours = RedisBroker()
    earlier = FormerBroker()
    earlier.connection = ours.connection
    earlier.enqueue("before the upgrade")
    ours.enqueue("after it")
    assert {ours.dequeue()[0][1], ours.dequeue()[0][1]} == {b"before the upgrade", b"after it"}
    assert not earlier.queue_size() and not ours.queue_size()


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze], ids=["gone", "silent"])
def test_what_is_queued_while_redis_is_away_waits_in_the_database(
    redis: RedisServer, make_account: Accounts, fault: Callable[[RedisServer], None]
) -> None:
    account = make_account(**NOWHERE)
    fault(redis)
    sync_tasks.queue_sync(account.pk, None)
    api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert {row.func() for row in OrmQ.objects.all()} == {"mailbox.tasks.sync_account", "outbox.tasks.deliver"}
    broker = RedisBroker()
    taken = [broker.dequeue(), broker.dequeue()]
    assert all(taken)
    for ((number, _task),) in taken:
        broker.acknowledge(number)
    assert not OrmQ.objects.exists()


def test_a_click_while_redis_is_away_is_no_failure_and_the_dashboard_says_so(
    redis: RedisServer, make_account: Accounts, make_user: Callable[..., object], client: Client
) -> None:
    account = make_account(**NOWHERE)
    client.force_login(make_user())  # type: ignore[arg-type]
    redis.kill()
    assert client.post(f"/accounts/{account.pk}/sync/").status_code == 302
    sync_tasks.beat()
    assert WorkerHeartbeat.objects.without_broker(timezone.now()).exists()
    assert "cannot reach Redis" in client.get("/").content.decode()
    redis.start()
    sync_tasks.beat()
    assert not WorkerHeartbeat.objects.without_broker(timezone.now()).exists()
    assert "cannot reach Redis" not in client.get("/").content.decode()
