"""Pictures of attachments: asked for by a page, made once by a worker in a process of its own, kept by content.

Two attachments with the same bytes share a picture. What hostile files do, they do to that process: it has its own
limits of memory, time and pixels, and all that comes of it is "no preview".
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from mailbox.mime import message as mime_message
from mailbox.models import Preview
from mailbox.storage import out_of_reach, raw_store

MAX_BYTES = 30_000_000  # of the attachment
MAX_PICTURE_BYTES = 5_000_000
SECONDS = 20
KEPT = timedelta(days=30)
CLAIM = timedelta(minutes=2)  # whoever claimed it longer ago was killed
TYPES = frozenset(
    {"application/pdf", "image/bmp", "image/gif", "image/jpeg", "image/jpg", "image/png", "image/tiff", "image/webp"}
)


class PreviewSource(Protocol):
    """A row of attachments, received or written."""

    digest: str
    position: int
    content_type: str
    size: int


@dataclass(frozen=True)
class PreviewImages:
    small: bytes
    large: bytes


class NoPreview(Exception):
    """str() says why, in a sentence for the page."""


def plain_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def is_drawable(file: PreviewSource) -> bool:
    return plain_type(file.content_type) in TYPES and 0 < file.size <= MAX_BYTES


def known(files: Iterable[PreviewSource]) -> Mapping[str, Preview]:
    """What is known of the pictures of these files, by digest; one query."""
    return Preview.objects.in_bulk([file.digest for file in files if is_drawable(file)])


def ask(file: PreviewSource, source: str, *, now: datetime) -> bool:
    """Write down that the picture is wanted; say whether a worker must be told. `source` is the mail's raw digest.

    A picture that was asked for long ago and never made is asked for again, by one of all who ask at once.
    """
    values = {"source": source, "position": file.position, "content_type": plain_type(file.content_type)}
    _, is_new = Preview.objects.get_or_create(digest=file.digest, defaults=values | {"asked_at": now})
    if is_new:
        return True
    stale = Preview.objects.filter(pk=file.digest, state=Preview.State.WAITING, asked_at__lt=now - CLAIM)
    return bool(stale.update(asked_at=now, claimed_at=None, source=source, position=file.position))


def make(digest: str, *, now: datetime | None = None) -> None:
    """Make the picture that is waiting, once. Every end of it is written down; a lost claim is nobody's harm."""
    now = now or timezone.now()
    free = Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM)
    waiting = Preview.objects.filter(pk=digest, state=Preview.State.WAITING)
    if not waiting.filter(free).update(claimed_at=now):
        return
    row = Preview.objects.get(pk=digest)
    try:
        pictures = draw(_content(row), row.content_type)
    except raw_store.RawOutOfReach as missing:  # asked for again by the sweep, perhaps of another host
        out_of_reach.note(missing.segment)
        waiting.filter(claimed_at=now).update(claimed_at=None)
        return
    except NoPreview as none:
        values: dict[str, Any] = {"state": Preview.State.NONE, "reason": str(none)[:200]}
    else:
        drawn = raw_store.save_batch([pictures.small + pictures.large], prove=True)[0]
        values = {"state": Preview.State.READY, "raw_digest": drawn, "small_length": len(pictures.small)}
    with transaction.atomic():
        if stored := values.get("raw_digest"):
            raw_store.reference([stored], now)
        waiting.filter(claimed_at=now).update(**values)


def _content(row: Preview) -> bytes:
    try:
        content = mime_message.attachment_bytes(raw_store.map_raw(row.source)[0], row.position, row.digest)
    except raw_store.RawOutOfReach:
        raise
    except (raw_store.RawMissing, IndexError) as error:
        raise NoPreview(gettext_noop("The stored bytes of the attachment cannot be read.")) from error
    if len(content) > MAX_BYTES:
        raise NoPreview(gettext_noop("The file is too large to be drawn."))
    return content


def draw(content: bytes, content_type: str, *, seconds: float = SECONDS) -> PreviewImages:
    """Draw it in a process of its own; raises NoPreview for whatever that process comes to."""
    try:
        # A list, no shell; the type is one of TYPES. No environment: the child is to know none of our secrets.
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "mailbox.pictures.render", content_type],
            input=content,
            capture_output=True,
            timeout=seconds,
            cwd=settings.BASE_DIR,
            env={"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoPreview(gettext_noop("The file took too long to draw.")) from error
    if done.returncode == 1:
        raise NoPreview(
            done.stderr.decode(errors="replace").strip()[-200:] or gettext_noop("The file cannot be drawn.")
        )
    if done.returncode != 0 or len(done.stdout) > MAX_PICTURE_BYTES or len(done.stdout) < 8:
        raise NoPreview(gettext_noop("The file cannot be drawn: it used too much time or memory."))
    small = struct.unpack(">Q", done.stdout[:8])[0]
    return PreviewImages(small=done.stdout[8 : 8 + small], large=done.stdout[8 + small :])


def picture(row: Preview, *, small: bool) -> bytes:
    """The picture of a row that is ready (WebP); raises raw_store.RawMissing."""
    both = raw_store.open_raw(row.raw_digest)
    return both[: row.small_length] if small else both[row.small_length :]


def forget_old(now: datetime) -> int:
    """Remove pictures that were asked for long ago: they are made again when somebody looks."""
    return Preview.objects.filter(asked_at__lt=now - KEPT).delete()[0]
