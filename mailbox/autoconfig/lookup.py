"""Look-ups of mail settings: a person asks (with a limit), a worker does each once, and the rows go after a day."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from mailbox.autoconfig.servers import (
    Discovery,
    SettingsSource,
    domain_of,
    from_json,
    of_preset,
    preset_of_domain,
    to_json,
)
from mailbox.models import SettingsLookup
from mailbox.safe_http import Network, is_public

if TYPE_CHECKING:
    from mailbox.autoconfig.discover import NetworkAccess

logger = logging.getLogger(__name__)
MOST, WITHIN = 20, timedelta(minutes=10)  # each person may start MOST look-ups WITHIN this time
SAME_WITHIN = timedelta(minutes=1)
KEPT = timedelta(days=1)


class TooManyLookups(Exception):
    """This person has started MOST look-ups within WITHIN."""


def ask(user_id: int, email: str, *, now: datetime) -> tuple[SettingsLookup, bool]:
    """Create the look-up's row. Returns it, and whether a worker must be queued. Raises TooManyLookups.

    A second click finds the row of the first. The domain of a built-in provider is answered at once, without a worker.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user_id)  # else two concurrent requests would not count each other
        asked = SettingsLookup.objects.filter(asked_by=user_id)
        running = asked.filter(email=email, finished_at=None, asked_at__gt=now - SAME_WITHIN).first()
        if running is not None:
            return running, False
        if asked.filter(asked_at__gt=now - WITHIN).count() >= MOST:
            raise TooManyLookups
        row = SettingsLookup(asked_by_id=user_id, email=email, asked_at=now)
        if known := _known(email):
            row.started_at = row.finished_at = now
            row.found = to_json(known)
        row.save()
    return row, row.finished_at is None


def _known(email: str) -> Discovery | None:
    domain = domain_of(email)
    preset = preset_of_domain(domain) if domain else None
    return of_preset(preset, email, SettingsSource.PRESET, domain) if preset and domain else None


def reach() -> NetworkAccess:
    """The network access that the settings allow: private addresses only with LOOKUP_ALLOW_PRIVATE."""
    from mailbox.autoconfig.discover import HTTP_SECONDS, NetworkAccess

    allowed = (lambda _address: True) if settings.LOOKUP_ALLOW_PRIVATE else is_public
    return NetworkAccess(network=Network(is_allowed=allowed, seconds=HTTP_SECONDS))


def run(pk: int, through: NetworkAccess | None = None) -> None:
    """Do the look-up, once, and store its result. No transaction is open during network access."""
    row = SettingsLookup.objects.filter(pk=pk, started_at=None)
    email = row.values_list("email", flat=True).first()
    if email is None or not row.update(started_at=timezone.now()):
        return  # the row was deleted, or the task ran before
    try:
        from mailbox.autoconfig import discover  # imported here: dnspython takes 7 MB, which few processes need

        found = discover.discover(email, through or reach())
    except Exception:
        logger.exception("settings_lookup_failed")  # goes on to store an empty result, as the page waits for one
        found = Discovery()
    SettingsLookup.objects.filter(pk=pk).update(finished_at=timezone.now(), found=to_json(found))


def found_by(row: SettingsLookup) -> Discovery:
    """The result that `run` stored; an empty Discovery while the look-up has not ended."""
    return from_json(row.found)


def forget_old(now: datetime) -> int:
    """Delete look-ups that were asked for longer than KEPT ago; return how many rows."""
    return SettingsLookup.objects.filter(asked_at__lt=now - KEPT).delete()[0]
