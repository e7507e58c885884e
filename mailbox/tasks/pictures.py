"""django-q2's entry points for pictures and for what is kept where. Each may run twice, or be killed any time."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from mailbox import deletions
from mailbox.messages import conversations
from mailbox.pictures import previews, remote_images
from mailbox.queueing import queue
from mailbox.storage import table_sizes
from mailbox.storage import usage as storage_usage

LINKED_A_DAY = 200_000  # messages from before there were conversations; `manage.py conversations` links all at once


def queue_image_fetch(message_id: int) -> None:
    """Fetch the remote images that were asked for, once the present transaction has committed."""
    queue("mailbox.tasks.fetch_images", message_id, group="pictures")


def queue_preview(digest: str) -> None:
    """Make the picture that was asked for, once the present transaction has committed."""
    queue("mailbox.tasks.make_preview", digest, group="pictures")


def fetch_images(message_id: int) -> None:
    remote_images.fetch_images(message_id)


def make_preview(digest: str) -> None:
    previews.make(digest)


def count_storage() -> None:
    """Hourly: how much is kept of each account's received mail, on disk, and in each table."""
    storage_usage.count(timezone.now())
    table_sizes.measure(timezone.now())


def tidy() -> None:
    """Daily: let go of pictures that nobody looked at lately; link what was stored without its conversation."""
    deletions.if_two_looks_agree("pictures", _forget_pictures)
    conversations.link_missing(LINKED_A_DAY)


def _forget_pictures(now: datetime) -> None:
    remote_images.forget_old(now)
    previews.forget_old(now)
