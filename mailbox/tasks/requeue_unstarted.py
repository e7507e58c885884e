"""Queues tasks again that a page asked for and no worker has begun: a broker may lose its queue, but the row is kept.

Every kind of task that a page queues has a sweep that queues it again. Those of sync and outbox have their own; the
others are here. A task that runs twice does no harm.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from mailbox.accounts import connection_tests
from mailbox.clocks import is_over, is_stale
from mailbox.models import Account, Folder, ImageFetch, OAuthApp, Preview, SettingsLookup
from mailbox.oauth import sign_in
from mailbox.pictures import previews, remote_images
from mailbox.tasks import autoconfig, oauth, pictures, sync

BEGUN_WITHIN = timedelta(seconds=45)  # usually a worker begins a task within a second or two
ASKED_WITHIN = timedelta(hours=1)  # nobody waits any longer for older requests
AT_ONCE = 100  # of each kind


def take_up_forgotten() -> None:
    """Every minute: queue tasks again that were asked for and not begun."""
    now = timezone.now()
    _of_accounts(now)
    _of_pictures(now)
    for pk in SettingsLookup.objects.filter(started_at=None, **_asked(now)).values_list("pk", flat=True)[:AT_ONCE]:
        autoconfig.queue_lookup(pk)
    connection_tests.begin_more(now, **_asked(now, "requested_at"))
    unread = OAuthApp.objects.filter(kind=OAuthApp.Kind.DISCOVERY, document={}, discovery_error="")
    for pk in unread.values_list("pk", flat=True)[:AT_ONCE]:
        oauth.queue_discovery(pk)
    for pk in sign_in.waiting():
        oauth.queue_finish(pk)


def _asked(now: datetime, column: str = "asked_at") -> dict[str, datetime]:
    return {f"{column}__lt": now - BEGUN_WITHIN, f"{column}__gt": now - ASKED_WITHIN}


def _of_accounts(now: datetime) -> None:
    syncs = Account.objects.filter(is_stale("sync_asked_at", BEGUN_WITHIN, now))
    for pk in list(syncs.values_list("pk", flat=True)[:AT_ONCE]):
        sync.queue_sync(pk, None)
    listings = Account.objects.filter(is_stale("listing_asked_at", BEGUN_WITHIN, now))
    asked = list(listings.values_list("pk", flat=True)[:AT_ONCE])
    for pk in [*asked, *_never_listed(now)]:
        sync.queue_folder_listing(pk)


def _never_listed(now: datetime) -> list[int]:
    """The pks of accounts without a chosen folder whose folders were never listed.

    The server was unreachable, or the password was wrong and has been corrected since. No sync lists their folders, as
    they have no chosen folder.
    """
    accounts = Account.objects.syncing().filter(folders_listed_at=None, listing_asked_at=None)
    accounts = accounts.filter(is_over("imap__next_allowed_at", now), imap__needs_sign_in_since=None)
    known = Folder.objects.filter(account=OuterRef("pk"))
    accounts = accounts.filter(Exists(known)).exclude(Exists(known.filter(sync_enabled=True)))
    return list(accounts.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])


def _of_pictures(now: datetime) -> None:
    free = Q(claimed_at=None) | is_stale("claimed_at", previews.CLAIM, now)
    waiting = Preview.objects.filter(free, state=Preview.State.WAITING, **_asked(now))
    for digest in waiting.values_list("pk", flat=True)[:AT_ONCE]:
        pictures.queue_preview(digest)
    unfetched = ImageFetch.objects.filter(finished_at=None, **_asked(now))
    unfetched.filter(is_stale("claimed_at", remote_images.CLAIM, now)).update(claimed_at=None)  # its worker was killed
    for pk in unfetched.filter(claimed_at=None).values_list("pk", flat=True)[:AT_ONCE]:
        pictures.queue_image_fetch(pk)
