"""Previews of attachments: a page asks for them, a worker makes each once, in a child process.

They are stored by the attachment's digest, so attachments with the same bytes share one. The child process has limits
of memory, time and pixels, so that a malicious file can only make itself have no preview.
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

from mailbox.clocks import is_stale
from mailbox.mime import message as mime_message
from mailbox.models import Preview
from mailbox.storage import out_of_reach, raw_store

MAX_BYTES = 30_000_000  # of the attachment
MAX_PICTURE_BYTES = 5_000_000
SECONDS = 20
KEPT = timedelta(days=30)
CLAIM = timedelta(minutes=2)  # after this time the worker that claimed a preview counts as killed
TYPES = frozenset(
    {"application/pdf", "image/bmp", "image/gif", "image/jpeg", "image/jpg", "image/png", "image/tiff", "image/webp"}
)


class PreviewSource(Protocol):
    """A row of a received attachment or of one to be sent."""

    digest: str
    position: int
    content_type: str
    size: int  # bytes, decoded


@dataclass(frozen=True)
class PreviewImages:
    """The two WebP images of one preview."""

    small: bytes
    large: bytes


class NoPreview(Exception):
    """There is no preview; str() is a sentence for the page that says why."""


def plain_type(content_type: str) -> str:
    """The content type in lower case without its parameters (RFC 2045, 5.1), such as "image/png"."""
    return content_type.partition(";")[0].strip().lower()


def is_drawable(file: PreviewSource) -> bool:
    """Whether a preview can be made: of one of TYPES, not empty, and not larger than MAX_BYTES."""
    return plain_type(file.content_type) in TYPES and 0 < file.size <= MAX_BYTES


def known(files: Iterable[PreviewSource]) -> Mapping[str, Preview]:
    """The Preview rows of these files, by digest. One query."""
    return Preview.objects.in_bulk([file.digest for file in files if is_drawable(file)])


def ask(file: PreviewSource, source: str, *, now: datetime) -> bool:
    """Create the preview's row; return whether a task must be queued. `source`: the mail's raw digest.

    A preview that is still waiting after CLAIM is queued again; of several concurrent requests only one does that.
    """
    values = {"source": source, "position": file.position, "content_type": plain_type(file.content_type)}
    _, is_new = Preview.objects.get_or_create(digest=file.digest, defaults=values | {"asked_at": now})
    if is_new:
        return True
    stale = Preview.objects.filter(pk=file.digest, state=Preview.State.WAITING, asked_at__lt=now - CLAIM)
    return bool(stale.update(asked_at=now, claimed_at=None, source=source, position=file.position))


def make(digest: str, *, now: datetime | None = None) -> None:
    """Make the waiting preview, once, and store it or the reason why there is none.

    If another worker took over the claim, this one's result is dropped.
    """
    now = now or timezone.now()
    free = Q(claimed_at=None) | is_stale("claimed_at", CLAIM, now)
    waiting = Preview.objects.filter(pk=digest, state=Preview.State.WAITING)
    if not waiting.filter(free).update(claimed_at=now):
        return
    row = Preview.objects.get(pk=digest)
    try:
        pictures = draw(_content(row), row.content_type)
    except raw_store.RawOutOfReach as missing:  # the sweep queues it again, perhaps for another host
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
    """Draw the file in a child process. Raises NoPreview however that process fails."""
    try:
        # A list of arguments, no shell; the type is one of TYPES. No inherited environment, which has secrets.
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
    """The small or large picture (WebP) of a row that is READY. Raises raw_store.RawMissing."""
    both = raw_store.open_raw(row.raw_digest)
    return both[: row.small_length] if small else both[row.small_length :]


def forget_old(now: datetime) -> int:
    """Delete previews that were asked for before KEPT; they are made again on request. Returns how many rows."""
    return Preview.objects.filter(asked_at__lt=now - KEPT).delete()[0]
