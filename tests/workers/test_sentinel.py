"""The queue behind Redis Sentinel: when the master dies, workers and pages go on with the one that takes its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django_q.conf import Conf
from django_q.models import OrmQ
from pytest_django import Settings
from redis import Redis
from redis.sentinel import Sentinel

from mailbox.models import Account
from outbox import api
from outbox.models import OutboxMessage
from prx_email_site.broker import RedisBroker
from tests.servers.ports import wait_until
from tests.servers.redis import RedisSentinel, RedisServer
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]


@pytest.fixture
def replica(redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server.start("--replicaof", "127.0.0.1", str(redis.port))
    server.kill()


@pytest.fixture
def sentinel(redis: RedisServer, replica: RedisServer, tmp_path: Path) -> Iterator[RedisSentinel]:
    server = RedisSentinel(tmp_path, redis).start()
    asked = Sentinel([("127.0.0.1", server.port)])
    wait_until(lambda: asked.discover_slaves(server.name), seconds=30, what="the Sentinel to know the replica")
    yield server
    server.kill()


def calls(server: RedisServer, command: str) -> int:
    with Redis(port=server.port) as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def test_the_queue_follows_the_master(
    redis: RedisServer, replica: RedisServer, sentinel: RedisSentinel, account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer], start_workers: Callable[..., Cluster], settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings.BROKER_URL = sentinel.url
    monkeypatch.setattr(Conf, "BROKER_CLASS", "prx_email_site.broker.RedisBroker")
    monkeypatch.setattr(RedisBroker, "_away_until", 0.0)
    server = smtp_server("tls")
    account = account_on(server)
    workers = start_workers(PRX_EMAIL_BROKER_URL=sentinel.url)

    def send(subject: str) -> None:
        assert api.queue(account.pk, "bob@example.test", subject, "A text.").data
        wait_until(lambda: not OutboxMessage.objects.exclude(status="sent").exists(), seconds=90, what=subject)

    try:
        send("by the first master")
        assert calls(redis, "rpush") and not calls(replica, "blpop")
        redis.kill()
        send("by none")
        with Redis(port=replica.port) as client:
            wait_until(lambda: client.info("replication")["role"] == "master", seconds=60, what="another master")
        wait_until(lambda: calls(replica, "blpop"), seconds=60, what="the workers to ask it")
        monkeypatch.setattr(RedisBroker, "_away_until", 0.0)
        before = calls(replica, "rpush")
        send("by the second master")
        assert calls(replica, "rpush") > before and not OrmQ.objects.exists()
    except TimeoutError:
        pytest.fail(workers.log())
    assert len(server.mails()) == 3
    assert workers.process.poll() is None
