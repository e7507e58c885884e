"""Remote images of a message: when a person asks, a worker fetches them once; the site keeps and shows a copy.

The sender learns from the request that the mail was read, so a person must ask for it; but not who read it, from where
or how often.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from mailbox.html.sanitizer import safe_html
from mailbox.models import ImageFetch, Message, RemoteImage, TrustedSender
from mailbox.pictures import image_download
from mailbox.pictures.image_download import FetchedImage, ImageRefused, Network
from mailbox.storage import out_of_reach, raw_store

MAX_IMAGES = 60  # of one message
MAX_TOTAL_BYTES = 8_000_000
MAX_TOTAL_SECONDS = 60.0
KEPT = timedelta(days=7)
CLAIM = timedelta(minutes=5)  # well above MAX_TOTAL_SECONDS: after this time the worker counts as killed


def addresses_of(message: Message) -> tuple[str, ...]:
    """The absolute URLs of the remote images in the message's HTML, each once."""
    return safe_html(message.body_html, {}).remote_addresses if message.body_html else ()


def is_trusted(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Whether the user has chosen to always see images of this sender."""
    address = message.sender_address
    return bool(address) and TrustedSender.objects.filter(user=user.pk, address=address).exists()


def ask(message: Message, user_id: int | None, *, now: datetime) -> bool:
    """Note that the images are wanted; return whether a task must be queued: not if they are here or being fetched."""
    _, is_new = ImageFetch.objects.get_or_create(message=message, defaults={"asked_by_id": user_id, "asked_at": now})
    if is_new:
        return True
    stale = ImageFetch.objects.filter(pk=message.pk, finished_at=None, asked_at__lt=now - CLAIM)
    return bool(stale.update(asked_at=now, claimed_at=None))


def fetched(message: Message) -> dict[str, tuple[str, bytes]]:
    """URL -> (content type, bytes) of the fetched images. Images that the raw store cannot read are left out."""
    images = {}
    for row in RemoteImage.objects.filter(message=message).exclude(raw_digest="")[:MAX_IMAGES]:
        try:
            images[row.address] = (row.content_type, raw_store.open_raw(row.raw_digest))
        except raw_store.RawOutOfReach as missing:
            out_of_reach.note(missing.segment)
        except raw_store.RawMissing:
            continue
    return images


def fetch_images(message_pk: int, *, network: Network = image_download.OUTSIDE, now: datetime | None = None) -> int:
    """Fetch the images that were asked for, once; return how many. No transaction is open during network access."""
    now = now or timezone.now()
    claim = ImageFetch.objects.filter(pk=message_pk, finished_at=None, claimed_at=None)
    if not claim.update(claimed_at=now):
        return 0
    message = Message.objects.filter(pk=message_pk).first()
    if message is None:
        return 0
    rows, contents = _fetch_all(message, addresses_of(message)[:MAX_IMAGES], network)
    digests = raw_store.save_batch(contents, prove=True)
    waiting = iter(digests)
    for row in rows:
        row.raw_digest = "" if row.error else next(waiting)
    with transaction.atomic():
        if not ImageFetch.objects.filter(pk=message_pk, claimed_at=now).update(finished_at=timezone.now()):
            return 0  # another worker took over the claim, or the message was deleted
        raw_store.reference(digests, now)
        RemoteImage.objects.filter(message=message_pk).delete()
        RemoteImage.objects.bulk_create(rows)
    return len(contents)


def _fetch_all(message: Message, addresses: Sequence[str], network: Network) -> tuple[list[RemoteImage], list[bytes]]:
    rows, contents, total, ends_at = [], [], 0, time.monotonic() + MAX_TOTAL_SECONDS
    for address in addresses:
        row = RemoteImage(message=message, address=address, address_digest=_digest(address))
        try:
            image = _fetch(address, total, ends_at, network)
        except ImageRefused as refused:
            row.error = str(refused)[:200]
        else:
            row.content_type, row.size = image.content_type, len(image.content)
            total += row.size
            contents.append(image.content)
        rows.append(row)
    return rows, contents


def _fetch(address: str, total: int, ends_at: float, network: Network) -> FetchedImage:
    if time.monotonic() > ends_at:
        raise ImageRefused(gettext_noop("The images of this mail took too long together."))
    image = image_download.fetch(address, network)
    if total + len(image.content) > MAX_TOTAL_BYTES:
        raise ImageRefused(f"The images of this mail are larger than {MAX_TOTAL_BYTES // 1_000_000} MB together.")
    return image


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode(errors="replace")).hexdigest()


def failures(rows: Iterable[RemoteImage]) -> list[tuple[int, str]]:
    """(number of rows, reason) for each reason of failure, the most frequent first."""
    counted: dict[str, int] = {}
    for row in rows:
        if row.error:
            counted[row.error] = counted.get(row.error, 0) + 1
    return sorted(((number, words) for words, number in counted.items()), reverse=True)


def forget_old(now: datetime) -> int:
    """Delete images that were asked for before KEPT; they can be fetched again. The raw store's sweep removes the
    bytes."""
    old = ImageFetch.objects.filter(asked_at__lt=now - KEPT)
    RemoteImage.objects.filter(message__in=old.values("message")).delete()
    return old.delete()[0]
