"""Accounts that need a person, as a condition of the database, to sort and count many: `health.conditions` says why.

A test compares the two: whatever health calls broken or in need of a person is found here, and nothing else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q

from mailbox.accounts.health import behind_after
from mailbox.accounts.transport_health import FAILING_TOLERATED, FAILURES_TOLERATED
from mailbox.accounts.troubleshooting import ABOUT_SETTINGS, ABOUT_THE_PORT
from mailbox.errors import OverQuota
from mailbox.models import Account, Folder, WorkerHeartbeat
from mailbox.signals import outbox_rows_asked


def in_trouble(now: datetime) -> Q:
    """The condition for accounts with something broken or in need of a person, but for switches that a person has set.

    While no worker runs, being behind does not count: all accounts are, which is said once instead.
    """
    refused = Q(imap__needs_sign_in_since__isnull=False) | Q(smtp__needs_sign_in_since__isnull=False)
    left_alone = _left_alone("imap", now) | _left_alone("smtp", now)
    folders = Folder.objects.chosen().filter(account=OuterRef("pk"))
    no_folder = Q(sync_enabled=True, folders_listed_at__isnull=False) & ~Exists(folders)
    refused |= Q(deletion_stopped_at__isnull=False)
    return refused | _sending_fails(now) | left_alone | Exists(folders.filter(_needs(now))) | no_folder


def _needs(now: datetime) -> Q:
    """The condition for folders that are stopped, fail or are behind."""
    stopped = Q(sync_state__stopped_at__isnull=False)
    never_worked = Q(sync_state__last_success_at=None, sync_state__last_error__iregex=ABOUT_THE_PORT)
    no_use = Q(sync_state__last_error__iregex=ABOUT_SETTINGS) | never_worked
    failing = Q(sync_state__failure_count__gt=0) & ~Q(sync_state__last_error="")
    failing &= Q(sync_state__failure_count__gte=FAILURES_TOLERATED) | no_use
    return stopped | Q(account__sync_enabled=True) & (failing | _behind(now))


def _behind(now: datetime) -> Q:
    """Folders that were not fetched for long, for another reason than a failure."""
    edge = now - behind_after()
    late = Q(sync_state__last_success_at__lt=edge)
    never = Q(sync_state__last_success_at=None, created_at__lt=edge, account__created_at__lt=edge)
    works = Q(Exists(WorkerHeartbeat.objects.alive(now)))
    return (Q(sync_state=None) | Q(sync_state__failure_count=0)) & (late | never) & works


def _sending_fails(now: datetime) -> Q:
    """Mail waits for an SMTP server that has failed often, for long, or for a reason that waiting does not fix."""
    often = Q(smtp__failure_count__gte=FAILURES_TOLERATED) | Q(smtp__failing_since__lte=now - FAILING_TOLERATED)
    fails = Q(smtp__failing_since__isnull=False) & (often | Q(smtp__last_reply__iregex=ABOUT_SETTINGS))
    return fails & _has_waiting_mail()


def _has_waiting_mail() -> Q:
    answers: Any = outbox_rows_asked.send(sender=Account)
    found = Q(pk__in=[])
    for _receiver, rows in answers:
        found |= Q(Exists(rows.waiting_of_accounts().filter(account=OuterRef("pk"))))
    return found


def _left_alone(kind: str, now: datetime) -> Q:
    """A server in backoff for a reason that waiting does not fix. `kind`: "imap" or "smtp"."""
    over_quota = Q(**{f"{kind}__last_reply__startswith": OverQuota.WORDS})
    about_settings = Q(**{f"{kind}__last_reply__iregex": ABOUT_SETTINGS})
    return Q(**{f"{kind}__next_allowed_at__gt": now}) & (over_quota | about_settings)
