"""Bodies of requests that carry a mail: as large as the attachment policy makes them. Others end at Django's limit."""

from __future__ import annotations

import threading
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext

from outbox.compose.attachments import TOO_LARGE
from outbox.compose.sizes import largest_request
from outbox.models import AttachmentPolicy

# For the schema of operations whose requests carry a mail.
CARRIES_MAIL: dict[str, Any] = {"x-carries-mail": True}
# Bytes of such bodies that a process holds at once. Decoding one of 35 MiB took 265 MiB more at its peak.
AT_ONCE = 64 * 1024 * 1024


class BodyTooLarge(Exception):
    """The body is larger than the policy allows; nothing of it was read (see prx_email_site.unread_body). str() is a
    sentence."""


class TooManyBodies(Exception):
    """Other large bodies take the memory at this moment. str() is a sentence."""


class Room:
    """Counts the bytes of large bodies in memory."""

    def __init__(self, size: int) -> None:
        self._size, self._taken, self._lock = size, 0, threading.Lock()

    def take(self, size: int) -> bool:
        """Count a body; False if there is no room. One that alone is larger than the room has it when it is empty."""
        with self._lock:
            if self._taken and self._taken + size > self._size:
                return False
            self._taken += size
            return True

    def give_back(self, size: int) -> None:
        """Count a body no longer."""
        with self._lock:
            self._taken -= size


room = Room(AT_ONCE)


def read(request: HttpRequest) -> None:
    """Read a body that is larger than Django's limit, if the policy allows it. Raises BodyTooLarge, TooManyBodies."""
    size = int(request.META.get("CONTENT_LENGTH") or 0)
    if size <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        return
    policy = AttachmentPolicy.current()
    most = largest_request(policy.max_size_bytes)
    if size > most:
        words = gettext("An attachment may have %(size)s bytes, and a request with a mail %(most)s bytes.")
        said = words % {"size": policy.max_size_bytes, "most": most}
        raise BodyTooLarge(f"{gettext(TOO_LARGE)}. {said}")
    if not room.take(size):
        raise TooManyBodies(gettext("Too many large mails come in at this moment: try again."))
    request.held_bytes = size  # type: ignore[attr-defined]
    request._body = request.read()  # as the property `body` does, whose limit is one for all requests


def release(request: HttpRequest) -> None:
    """End what read() holds. Called once, behind the response."""
    room.give_back(getattr(request, "held_bytes", 0))
