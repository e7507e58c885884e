"""The tasks of remote images, previews and storage figures. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from mailbox import deletions
from mailbox.messages import conversations
from mailbox.pictures import previews, remote_images
from mailbox.queueing import queue
from mailbox.storage import table_sizes
from mailbox.storage import usage as storage_usage

LINKED_A_DAY = 200_000  # messages without a conversation, linked a day; `manage.py conversations` links all at once


def queue_image_fetch(message_id: int) -> None:
    """Queue the fetch of a message's remote images, once the current transaction has committed."""
    queue("mailbox.tasks.fetch_images", message_id, group="pictures")


def queue_preview(digest: str) -> None:
    """Queue the making of a preview, once the current transaction has committed."""
    queue("mailbox.tasks.make_preview", digest, group="pictures")


def fetch_images(message_id: int) -> None:
    """Download the remote images of a message for which a person asked."""
    remote_images.fetch_images(message_id)


def make_preview(digest: str) -> None:
    """Draw the preview of an attachment. digest: the SHA-256 of the attachment's decoded bytes."""
    previews.make(digest)


def count_storage() -> None:
    """Every hour: measure how much of each account's received mail is stored, on disk and in each table."""
    storage_usage.count(timezone.now())
    table_sizes.measure(timezone.now())


def tidy() -> None:
    """Daily: delete remote images and previews that were asked for long ago; link messages without a conversation."""
    deletions.if_two_looks_agree("pictures", _forget_pictures)
    conversations.link_missing(LINKED_A_DAY)


def _forget_pictures(now: datetime) -> None:
    remote_images.forget_old(now)
    previews.forget_old(now)
