"""Parts that hold other parts: files of a winmail.dat, a signed S/MIME message, files written into a text. Pure.

What is found stands behind the parts that the message itself has, so that their positions stay.
"""

from __future__ import annotations

from dataclasses import replace

from mailbox.mime import tnef
from mailbox.mime.body_parts import Layout
from mailbox.mime.tree import Part

_MAX_OPENED = 10  # of one message
_MAX_BYTES = 64_000_000  # a larger one stays closed: its files would all be in memory at once


def opened(layout: Layout) -> Layout:
    """The layout with what its containers hold."""
    return _with_winmail(layout)


def _with_winmail(layout: Layout) -> Layout:
    """MS-OXTNEF. Its text is the body where the message has no other."""
    wrapped = [part for part in layout.attachments if part.content_type in tnef.TYPES][:_MAX_OPENED]
    if not wrapped:
        return layout
    text, html, defects = layout.text, layout.html, list(layout.defects)
    files: list[Part] = []
    for part in wrapped:
        if len(part.encoded) > _MAX_BYTES:
            defects.append("WinmailTooLarge")
            continue
        found = tnef.read(part.octets()[0])
        files += [
            Part.of(file.octets, file.content_type, filename=file.filename, content_id=file.content_id)
            for file in found.files
        ]
        if not found.is_sound:
            defects.append("WinmailDefect")
        if not text and not html:
            texts = [Part.of(found.body_text.encode("utf-8", "replace"), "text/plain")] if found.body_text else []
            text = tuple(texts)
            html = (Part.of(found.body_html.encode("utf-8", "replace"), "text/html"),) if found.body_html else text
    return replace(layout, text=text, html=html, attachments=(*layout.attachments, *files), defects=tuple(defects))
