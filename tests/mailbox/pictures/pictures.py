"""Pictures that tests attach to mails and have drawn."""

from __future__ import annotations

import io

from PIL import Image


def picture(kind: str = "PNG", size: tuple[int, int] = (800, 600), mode: str = "RGB") -> bytes:
    output = io.BytesIO()
    Image.new(mode, size, "red" if mode == "RGB" else 0).save(output, kind)
    return output.getvalue()
