"""A stored file that this host lacks while another may have it: an event, and an incident by its row.

Whoever reads stored bytes and can go on without them notes it here; else what is missing would be missing silently.
"""

from __future__ import annotations

import logging
import platform
from datetime import datetime, timedelta

from django.utils import timezone

from mailbox.logs import event
from mailbox.models import StoreMiss, WorkerHeartbeat

logger = logging.getLogger(__name__)
OTHERS_SEEN_WITHIN = timedelta(minutes=3)


def this_host() -> str:
    return platform.node() or "localhost"


def note(file: str, now: datetime | None = None) -> None:
    """`file`: of the raw store, as the database names it."""
    event(logger, "stored_file_out_of_reach", logging.ERROR, file=file)
    StoreMiss.note(this_host(), file, now or timezone.now())


def others_work(now: datetime) -> bool:
    """Whether workers of other hosts live, one of which may have what this one lacks."""
    alive = WorkerHeartbeat.objects.filter(seen_at__gt=now - OTHERS_SEEN_WITHIN)
    return alive.exclude(host=this_host()).exists()
