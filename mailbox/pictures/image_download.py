"""One remote image over HTTP, for a person who asked for it: what outside.get brings, if it is a raster image.

The only place that follows an address from a mail. Nothing but a raster image of sane dimensions is accepted.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from django.utils.translation import gettext_noop
from PIL import Image

from mailbox import safe_http
from mailbox.safe_http import OUTSIDE, Network, is_public
from mailbox.safe_http import FetchRefused as ImageRefused

__all__ = ["OUTSIDE", "FetchedImage", "ImageRefused", "Network", "checked_type", "fetch", "is_public"]
USER_AGENT = "Mozilla/5.0 (compatible; PRX-Email image proxy)"  # the same for everyone: it tells nothing of the reader
MAX_BYTES = 2_000_000
MAX_PIXELS = 25_000_000
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
WANTED = safe_http.OutgoingRequest("image/*", USER_AGENT, MAX_BYTES)


@dataclass(frozen=True)
class FetchedImage:
    content_type: str
    content: bytes


def fetch(address: str, network: Network = OUTSIDE) -> FetchedImage:
    """The image at an http or https address; raises ImageRefused. Takes at most `network.seconds` and a lookup."""
    content = safe_http.get(address, WANTED, network)
    return FetchedImage(checked_type(content), content)


def checked_type(content: bytes) -> str:
    """The image's type by its bytes, whatever the server calls it; raises ImageRefused. Reads its head only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=tuple(TYPES)) as image:
                width, height, kind = *image.size, image.format or ""
    except Exception as error:  # Pillow raises nearly everything for a broken file
        raise ImageRefused(gettext_noop("This is no PNG, JPEG, GIF or WebP image.")) from error
    if width * height > MAX_PIXELS:
        raise ImageRefused(gettext_noop("The image has too many pixels."))
    return TYPES[kind]
