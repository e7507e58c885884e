"""Scheduled work: uses refresh tokens before they expire unused, and deletes grants that no account uses."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from mailbox.errors import MailError
from mailbox.logs import event
from mailbox.models import Account, OAuthGrant
from mailbox.oauth import refresh
from mailbox.oauth.refresh import Clock

logger = logging.getLogger(__name__)
AT_ONCE = 100
UNUSED_AFTER = timedelta(hours=1)


def use_in_time(clock: Clock = timezone.now) -> int:
    """Refresh grants whose `use_refresh_by` has come (half of the time until expiry); return how many were refreshed.

    Accounts that are synced refresh about every hour anyway: this is for accounts that are paused or switched off.
    """
    used = 0
    for grant in due(clock()):
        of_grant = Q(imap__grant=grant.pk) | Q(smtp__grant=grant.pk)
        account = Account.objects.filter(of_grant).select_related("imap").first()
        if account is None:
            continue
        try:
            used += refresh.fresh(grant.pk, account.email, account.imap.user, clock).generation > grant.generation
        except MailError as error:
            event(logger, "oauth_use_in_time_failed", logging.WARNING, account=account.email, error_code=error.code)
    return used


def due(now: datetime) -> list[OAuthGrant]:
    """Grants whose refresh token must be used now, or it expires unused; the most urgent AT_ONCE."""
    waiting = Q(next_allowed_at=None) | Q(next_allowed_at__lte=now)
    rows = OAuthGrant.objects.not_ended().filter(waiting, use_refresh_by__lte=now)
    return list(rows.order_by("use_refresh_by")[:AT_ONCE])


def tidy(clock: Clock = timezone.now) -> int:
    """Delete grants that no transport uses, since another secret replaced them; return how many."""
    return OAuthGrant.objects.filter(transports=None, granted_at__lt=clock() - UNUSED_AFTER).delete()[0]
