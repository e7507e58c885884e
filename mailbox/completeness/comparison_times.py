"""When each account is compared: each night from COMPLETENESS_HOUR on, one account after another."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from mailbox.clocks import LONGEST_WAIT, SLACK, is_over
from mailbox.models import Account, Completeness

UNDER_WAY = timedelta(minutes=10)  # longer than any part takes: after this time its worker counts as dead


def next_night(now: datetime) -> datetime:
    """The next time at which it is COMPLETENESS_HOUR in the site's time zone."""
    local = timezone.localtime(now)
    night = local.replace(hour=settings.COMPLETENESS_HOUR, minute=0, second=0, microsecond=0)
    return night if night > local else night + LONGEST_WAIT


def next_account(now: datetime) -> int | None:
    """The pk of the account to compare now, or None. A new account waits for the next night."""
    fetched = Account.objects.syncing().filter(sends_site_mail=False)
    new = fetched.filter(completeness=None).values_list("pk", flat=True)
    rows = [Completeness(account_id=pk, next_at=next_night(now)) for pk in new]
    Completeness.objects.bulk_create(rows, ignore_conflicts=True)
    may_be_asked = is_over("imap__next_allowed_at", now) & Q(imap__needs_sign_in_since=None)
    due = Q(completeness__next_at__lte=now) | Q(completeness__next_at__gt=now + LONGEST_WAIT + SLACK)
    found = fetched.filter(may_be_asked & due).order_by("completeness__next_at")
    pk: int | None = found.values_list("pk", flat=True).first()
    return pk


def ask_now(account_id: int, now: datetime) -> None:
    """Make the account due now, as a person asked. A comparison that is under way goes on, else a new one begins."""
    Completeness.objects.update_or_create(account_id=account_id, defaults={"next_at": now})
