"""Notes a stored file that this host cannot read while another host may: by a log event, and a row for an incident.

Code that reads stored bytes and can continue without them calls note(), so that they are not missing silently.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from mailbox.logs import event, this_host
from mailbox.models import StoreMiss, WorkerHeartbeat

logger = logging.getLogger(__name__)
OTHERS_SEEN_WITHIN = timedelta(minutes=3)


def note(file: str, now: datetime | None = None) -> None:
    """Record the miss. file: the segment's name in the database."""
    event(logger, "stored_file_out_of_reach", logging.ERROR, file=file)
    StoreMiss.note(this_host(), file, now or timezone.now())


def others_work(now: datetime) -> bool:
    """Whether workers on other hosts are alive, one of which may be able to read the file."""
    alive = WorkerHeartbeat.objects.not_ahead(now).filter(seen_at__gt=now - OTHERS_SEEN_WITHIN)
    return alive.exclude(host=this_host()).exists()
