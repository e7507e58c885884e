"""Guards every removal by age: it happens only when two looks, about a day apart, agree.

By a clock that is a year ahead, the grace period of all expunged mail is over. So nothing is removed at the first look:
a second one must follow, about a day later by this machine's clock as well as by the database's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from mailbox.clocks import SLACK
from mailbox.logs import event
from mailbox.models import DeletionLook

logger = logging.getLogger(__name__)
SOONEST, LATEST = timedelta(hours=20), timedelta(hours=72)  # between the two looks; workers may have been stopped

# name -> what is removed after which time. docs/operations.md shows the same list.
BY_AGE = {
    "raw store": "raw bytes that no row refers to: 24 hours; parts of large messages: 7 days",
    "expunged mail": "mail that is gone from the server: PRX_EMAIL_EXPUNGED_GRACE_DAYS",
    "reports": "reports, failed tasks and counts of the database's failures: 14 days; heartbeats and look-ups of "
    "servers: 1 day; counters and sizes of tables: 400 days",
    "records": "failed sign-ins: PRX_EMAIL_SIGN_IN_LOCK_MINUTES; answers to an Idempotency-Key: 7 days; tests of "
    "connections but an account's newest: 14 days; bulk actions and rounds of reading again: 400 days",
    "pictures": "remote images: 7 days; previews: 30 days; both are made again",
    "retention": "what rules of retention mean, once there are any (page Retention, PRX_EMAIL_RETENTION)",
    "alerts": "alerts that are over, and test notices: 90 days",
    "events": "events and their deliveries to webhooks, delivered or not: 7 days",
}


def two_looks_agree(name: str, now: datetime | None = None) -> bool:
    """Whether data that is old at `now` may be removed. Saves this look, for the next one to agree with.

    `name`: a key of BY_AGE; raises KeyError for another. `now`: by this machine's clock.
    """
    if name not in BY_AGE:
        raise KeyError(name)
    host, database = now or timezone.now(), database_now()
    if abs(host - database) > SLACK:
        event(logger, "clocks_differ", logging.WARNING, host=host.isoformat(), database=database.isoformat())
        return False
    last = DeletionLook.objects.filter(pk=name).first()
    between = [] if last is None else [host - last.host_at, database - last.database_at]
    if between and timedelta(0) <= min(between) and max(between) < SOONEST:
        return False  # too soon after the last look, which stays
    DeletionLook.objects.update_or_create(name=name, defaults={"host_at": host, "database_at": database})
    return bool(between) and min(between) >= SOONEST and max(between) <= LATEST


def if_two_looks_agree(name: str, remove: Callable[[datetime], object]) -> None:
    """Call `remove(now)` when two looks agree."""
    now = timezone.now()
    if two_looks_agree(name, now):
        remove(now)


def is_superseded(name: str, agreed: datetime) -> bool:
    """Whether a look has followed the one that agreed about this time."""
    return DeletionLook.objects.filter(pk=name, host_at__gt=agreed).exists()


def database_now() -> datetime:
    """The time by the database's clock (CURRENT_TIMESTAMP), with a time zone; SQLite states UTC without one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        said = cursor.fetchone()[0]
    when = said if isinstance(said, datetime) else datetime.fromisoformat(str(said))
    return when if when.tzinfo else when.replace(tzinfo=UTC)
