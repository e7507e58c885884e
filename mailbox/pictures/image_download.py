"""Downloads one remote image that a person asked for, by mailbox.safe_http.

No other module requests a URL from a mail. Only raster images within MAX_BYTES and MAX_PIXELS are accepted.
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
USER_AGENT = "Mozilla/5.0 (compatible; PRX-Email image proxy)"  # the same for all, so it says nothing about the reader
MAX_BYTES = 2_000_000
MAX_PIXELS = 25_000_000
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
WANTED = safe_http.OutgoingRequest("image/*", USER_AGENT, MAX_BYTES)


@dataclass(frozen=True)
class FetchedImage:
    """A downloaded image. `content_type`: by its bytes, one of TYPES."""

    content_type: str
    content: bytes


def fetch(address: str, network: Network = OUTSIDE) -> FetchedImage:
    """Download the image at an http or https URL. Takes at most `network.seconds` and a DNS query. Raises
    ImageRefused."""
    content = safe_http.get(address, WANTED, network)
    return FetchedImage(checked_type(content), content)


def checked_type(content: bytes) -> str:
    """The image's content type by its bytes, not by the server's header. Only its header is decoded. Raises
    ImageRefused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=tuple(TYPES)) as image:
                width, height, kind = *image.size, image.format or ""
    except Exception as error:  # Pillow raises many kinds of exceptions for a broken file
        raise ImageRefused(gettext_noop("This is no PNG, JPEG, GIF or WebP image.")) from error
    if width * height > MAX_PIXELS:
        raise ImageRefused(gettext_noop("The image has too many pixels."))
    return TYPES[kind]
