"""django-q2's queue in the database, looked at so often that a click is answered at once, and yet cheaply."""

from __future__ import annotations

import time
from typing import Any

from django.db import connections
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from prx_email_site.workers import pulse

KEEP_SECONDS = 1.0


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
