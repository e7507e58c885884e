"""The images that a mail's HTML shows, as data: URLs, within what a browser can hold. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote

from mailbox.html.image_size import pixels_of

MAX_IMAGE_BYTES = 5_000_000
MAX_IMAGES_BYTES = 10_000_000  # of all images of a mail together, of one that is shown twice twice
# A browser needs four bytes for each pixel, however few the file has: an image of one colour is a hundred kilobytes of
# PNG and ten gigabytes of memory. As many as mailbox.pictures draws.
MAX_IMAGE_PIXELS = 50_000_000
MAX_IMAGES_PIXELS = 150_000_000
_RASTER_SIGNATURES = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
_DATA_IMAGE = re.compile(r"data:(image/[a-z-]+);base64,([A-Za-z0-9+/=%\s]*)", re.I)


def may_be_shown(octets: bytes) -> bool:
    """Whether a browser can be given the image: its header states a size, and that is no more than MAX_IMAGE_PIXELS."""
    pixels = pixels_of(octets)
    return pixels is not None and pixels <= MAX_IMAGE_PIXELS


@dataclass
class ImageRoom:
    """The bytes and pixels that a mail's images have used so far.

    has_left_out: whether an image was not taken because it is too large, or because all together are.
    """

    used_bytes: int = 0
    used_pixels: int = 0
    has_left_out: bool = False

    def of_address(self, address: str) -> str | None:
        """The image of a data: URL as address_of() answers it; None too when it is no base64 of an image."""
        stated = _DATA_IMAGE.fullmatch(address)
        if stated is None:
            return None
        if len(address) > MAX_IMAGE_BYTES * 2:
            self.has_left_out = True
            return None
        try:
            octets = binascii.a2b_base64(unquote(stated[2]))
        except (binascii.Error, ValueError):
            return None
        return self.address_of(stated[1].lower(), octets)

    def address_of(self, content_type: str, octets: bytes) -> str | None:
        """The image as a data: URL; None when it is no raster image or states no size, or exceeds a limit.

        Its type is that of its first bytes: mail programs name PNG image/jpg, and PNG and JPEG image/x-png and pjpeg.
        """
        begins = (kind for kind, signatures in _RASTER_SIGNATURES.items() if octets.startswith(signatures))
        content_type = next(begins, "") if content_type.startswith("image/") else ""
        if not content_type:
            return None
        if (pixels := pixels_of(octets)) is None:
            return None
        is_large = len(octets) > MAX_IMAGE_BYTES or pixels > MAX_IMAGE_PIXELS
        if is_large or self.used_pixels + pixels > MAX_IMAGES_PIXELS or not self._takes(len(octets)):
            self.has_left_out = True
            return None
        self.used_pixels += pixels
        return f"data:{content_type};base64,{base64.b64encode(octets).decode('ascii')}"

    def again(self, address: str) -> str | None:
        """A data: URL that was written before; None if all of them would be too long.

        Decoded once, but written each time: twenty thousand tags that show one image of 300 kB are a page of 8 GB.
        """
        if self._takes(len(address) * 3 // 4):
            return address
        self.has_left_out = True
        return None

    def _takes(self, number: int) -> bool:
        if self.used_bytes + number > MAX_IMAGES_BYTES:
            return False
        self.used_bytes += number
        return True
