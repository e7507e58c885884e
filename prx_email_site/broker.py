"""django-q2's brokers: the database, or Redis with the database as fallback.

The queue in the database is polled often, so that a click is handled at once, and cheaply.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import redis
from django.conf import settings
from django.db import connections
from django.utils.crypto import salted_hmac
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from django_q.models import OrmQ
from redis.backoff import NoBackoff
from redis.retry import Retry

from mailbox.logs import event
from prx_email_site import redis_address
from prx_email_site.workers import pulse

logger = logging.getLogger(__name__)
KEEP_SECONDS = 1.0
ASK_AGAIN_SECONDS = 5.0  # time until a process tries an unavailable Redis again
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 3.0  # short, so that a silent Redis does not block pages


class Broker(ORM):  # type: ignore[misc]
    """The queue in the database.

    On SQLite it keeps a connection for a second: django-q2 opens one for each poll, which takes several times as long
    as the poll. Not longer, as a restored database is another file. Django keeps connections to PostgreSQL, and checks
    them before each poll.
    """

    _kept_until = 0.0

    def get_connection(self, list_key: str | None = None) -> Any:
        """The QuerySet of OrmQ by which the queue is read. `list_key` is ignored, as in django-q2's ORM broker."""
        now = time.monotonic()
        if connections[Conf.ORM].vendor == "sqlite" and now < self._kept_until:
            return OrmQ.objects.using(Conf.ORM)
        self._kept_until = now + KEEP_SECONDS
        return super().get_connection(list_key)

    def dequeue(self) -> Any:
        """The waiting tasks as (id, signed task); before them the pulse, when it is due (see workers.pulse)."""
        return pulse.due() or super().dequeue()


class RedisBroker(Redis):  # type: ignore[misc]
    """The queue in Redis, and in the database while Redis is unavailable; workers read both.

    Tasks in the database have an id, by which they are acknowledged; those in Redis have none. The list in Redis has a
    name of the installation's own, as another one may use the same Redis: of its secret key, which all hosts of an
    installation share, and without which a task cannot be read.
    """

    list_key: str
    _away_until = 0.0  # by time.monotonic(); on the class, as django-q2 makes a broker for each task that it queues

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key=list_key)
        # In which releases up to 0.1.0 queue; read as well, also while hosts are upgraded one after the other.
        self._former_key = self.list_key
        self.list_key = f"{self.list_key}:{salted_hmac('prx_email_site.broker', 'queue').hexdigest()[:16]}"
        self._rows = Broker(list_key=list_key or Conf.CLUSTER_NAME)

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """A connection with short time-outs and without retries, so that a request does not wait for a Redis that
        is away."""
        return redis_address.connect(
            settings.BROKER_URL,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def enqueue(self, task: str) -> Any:
        """Queue a signed task in Redis, or in the database if Redis is away. Raises DatabaseError."""
        if not self._is_away():
            try:
                return super().enqueue(task)
            except redis.RedisError as error:
                self._note_away(error)
        return self._rows.enqueue(task)

    def dequeue(self) -> Any:
        """The waiting tasks as (id, signed task), of the database first, then of Redis.

        With Redis the database is polled only once a second, as a poll of Redis blocks for a second.
        """
        if found := self._rows.dequeue():
            return found
        if self._is_away():
            return None
        try:
            found = self.connection.blpop([self.list_key, self._former_key], 1)
            return [(None, found[1])] if found else None
        except redis.RedisError as error:
            self._note_away(error)
            return None

    def acknowledge(self, task_id: int) -> Any:
        """Delete a finished task from the database; one from Redis was taken out of its list already."""
        return self._rows.acknowledge(task_id)

    def fail(self, task_id: int | None) -> Any:
        """Delete a failed task from the database, so that it is not tried again; None for one from Redis."""
        return self._rows.fail(task_id) if task_id else None

    def ping(self) -> bool:
        """Whether Redis answers. django-q2 calls this at its start, which continues in any case."""
        try:
            return bool(super().ping())
        except redis.RedisError as error:
            self._note_away(error)
            return False

    def set_stat(self, key: str, value: str, timeout: int) -> Any:
        """Do nothing: django-q2 would write statistics twice a second, which we do not use."""

    def _is_away(self) -> bool:
        return time.monotonic() < type(self)._away_until

    def _note_away(self, error: redis.RedisError) -> None:
        type(self)._away_until = time.monotonic() + ASK_AGAIN_SECONDS
        event(logger, "broker_away", logging.WARNING, error=f"{type(error).__name__}: {error}")
