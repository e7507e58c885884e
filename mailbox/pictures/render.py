"""Draws the preview of an attachment in a process of its own: `python -m mailbox.pictures.render TYPE`.

The file is untrusted and the decoders are written in C. So the environment has no secrets, limits of memory, time,
files and processes are set before the first byte is read, and the parent takes every failure for "no preview".

It reads the file from standard input and writes eight bytes (the small picture's length) and the two pictures (WebP),
or exits with 1 and a sentence on standard error. It imports no Django, so it starts in a tenth of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import resource
import signal
import struct
import sys
import warnings
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:  # when the program runs, Pillow is imported only after the limits are set
    from PIL.Image import Image

MAX_MEMORY = 1024 * 1024 * 1024  # bytes of address space, including the interpreter and its libraries
MAX_CPU_SECONDS = 15
MAX_PIXELS = 50_000_000
SMALL, LARGE = (320, 240), (1200, 1600)
IMAGE_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
QUALITY = 80
PR_SET_PDEATHSIG = 1


class NoPicture(Exception):
    """The file cannot be drawn; str() is a sentence for the page that says why."""


def confine() -> None:
    """Set the limits of this process, before the first byte of the file is read."""
    for limit, value in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower hard limit is in force already
            resource.setrlimit(limit, (value, value))
    with contextlib.suppress(OSError, AttributeError):  # Linux: killed with the worker, even by SIGKILL
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def picture_of(content: bytes, content_type: str) -> bytes:
    """The small and the large image, as the length of the small one in eight octets and both. Raises NoPicture."""
    from PIL import Image as pillow

    pillow.MAX_IMAGE_PIXELS = MAX_PIXELS
    page = _first_page(content) if content_type == "application/pdf" else _image(content)
    page.thumbnail(LARGE)
    large = _encoded(page)
    page.thumbnail(SMALL)
    small = _encoded(page)
    return struct.pack(">Q", len(small)) + small + large


def _image(content: bytes) -> Image:
    from PIL import Image as pillow
    from PIL import ImageOps

    too_many = "The image has too many pixels."
    # Pillow refuses those above twice its limit, and prints a warning to standard error, which is read as our reason,
    # for those between.
    warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
    try:
        with pillow.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                raise NoPicture(too_many)
            image.draft("RGB", LARGE)  # a JPEG is decoded at about the size that is needed
            return _on_white(ImageOps.exif_transpose(image))
    except pillow.DecompressionBombError as error:
        raise NoPicture(too_many) from error


def _first_page(content: bytes) -> Image:
    import pypdfium2  # type: ignore[import-untyped]

    document = pypdfium2.PdfDocument(content)
    if not len(document):
        raise NoPicture("The PDF has no pages.")
    page = document[0]
    width, height = page.get_size()
    if not (0 < width < 1e6 and 0 < height < 1e6):
        raise NoPicture("The PDF's first page has no sensible size.")
    scale = min(LARGE[0] / width, LARGE[1] / height, 4.0)
    if width * scale < 1 or height * scale < 1:
        raise NoPicture("The PDF's first page has no sensible size.")
    return _on_white(page.render(scale=scale).to_pil())


def _on_white(image: Image) -> Image:
    from PIL import Image as pillow

    rgba = image.convert("RGBA")
    rgba.thumbnail(LARGE)
    page = pillow.new("RGB", rgba.size, "white")
    page.paste(rgba, mask=rgba.getchannel("A"))
    return page


def _encoded(image: Image) -> bytes:
    output = io.BytesIO()
    image.save(output, "WEBP", quality=QUALITY)  # encoded from pixels, so none of the file's own bytes are passed on
    return output.getvalue()


def main(content_type: str, source: IO[bytes], target: IO[bytes]) -> int:
    """Write the images of the file to `target`; return 0, or 1 with a sentence on the standard error output."""
    confine()
    try:
        target.write(picture_of(source.read(), content_type))
        target.flush()
    except NoPicture as error:
        sys.stderr.write(str(error))
        return 1
    except MemoryError:
        sys.stderr.write("The file needs too much memory to be drawn.")
        return 1
    except Exception as error:
        words = (
            "The PDF is damaged or needs a password." if content_type == "application/pdf" else "It is no whole image."
        )
        sys.stderr.write(f"{words} ({type(error).__name__})")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer))
