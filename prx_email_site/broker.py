"""django-q2's queue: in the database, or in Redis with the database to fall back on.

The one in the database is looked at so often that a click is answered at once, and yet cheaply.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import redis
from django.conf import settings
from django.db import connections
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from django_q.models import OrmQ
from redis.backoff import NoBackoff
from redis.retry import Retry

from mailbox.logs import event
from prx_email_site.workers import pulse

logger = logging.getLogger(__name__)
KEEP_SECONDS = 1.0
ASK_AGAIN_SECONDS = 5.0  # after which a Redis that was away is asked again, by each process for itself
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 3.0  # a Redis that is silent must hold up no page


class Broker(ORM):  # type: ignore[misc]
    """On SQLite a connection is kept for a second: django-q2 opens one for each look, which takes several times as long
    as looking. No longer, as a database that was restored is another file. Those to PostgreSQL are kept by Django,
    which makes sure before each look that the server is still there."""

    _kept_until = 0.0

    def get_connection(self, list_key: str | None = None) -> Any:
        """What the queue is asked by: a QuerySet of OrmQ. `list_key` is not used, as in django-q2's."""
        now = time.monotonic()
        if connections[Conf.ORM].vendor == "sqlite" and now < self._kept_until:
            return OrmQ.objects.using(Conf.ORM)
        self._kept_until = now + KEEP_SECONDS
        return super().get_connection(list_key)

    def dequeue(self) -> Any:
        """What waits, as (id, signed task); first of all the pulse by which the cluster is watched."""
        return pulse.due() or super().dequeue()


class RedisBroker(Redis):  # type: ignore[misc]
    """Redis, and the database's queue while Redis is away: whatever is queued then is taken all the same.

    Tasks of the database have an id, by which they are acknowledged; those of Redis have none.
    """

    _away_until = 0.0  # by time.monotonic(); of the class, as django-q2 makes a broker for each task that it queues

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key=list_key)
        self._rows = Broker(list_key=list_key or Conf.CLUSTER_NAME)

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        return redis.from_url(
            settings.BROKER_URL,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def enqueue(self, task: str) -> Any:
        if not self._is_away():
            try:
                return super().enqueue(task)
            except redis.RedisError as error:
                self._note_away(error)
        return self._rows.enqueue(task)

    def dequeue(self) -> Any:
        """What waits, as (id, signed task). Looks at the database once a second, or all the time without Redis."""
        if found := self._rows.dequeue():
            return found
        if self._is_away():
            return None
        try:
            return super().dequeue()
        except redis.RedisError as error:
            self._note_away(error)
            return None

    def acknowledge(self, task_id: int) -> Any:
        return self._rows.acknowledge(task_id)

    def fail(self, task_id: int | None) -> Any:
        return self._rows.fail(task_id) if task_id else None

    def ping(self) -> bool:
        """Whether Redis answers. django-q2 asks at a start, which goes on in any case."""
        try:
            return bool(super().ping())
        except redis.RedisError as error:
            self._note_away(error)
            return False

    def set_stat(self, key: str, value: str, timeout: int) -> Any:
        """django-q2's own statistics, twice a second; nothing of ours reads them."""

    def _is_away(self) -> bool:
        return time.monotonic() < type(self)._away_until

    def _note_away(self, error: redis.RedisError) -> None:
        type(self)._away_until = time.monotonic() + ASK_AGAIN_SECONDS
        event(logger, "broker_away", logging.WARNING, error=f"{type(error).__name__}: {error}")
