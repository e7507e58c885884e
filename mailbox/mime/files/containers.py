"""Parts that hold other parts: files of a winmail.dat, a signed S/MIME message, files written into a text. Pure.

What is found stands behind the parts that the message itself has, so that their positions stay.
"""

from __future__ import annotations

from dataclasses import replace

from mailbox.mime import tree
from mailbox.mime.body_parts import Layout, layout_of, stated_filename
from mailbox.mime.files import embedded_files, smime, tnef
from mailbox.mime.tree import Part

_MAX_OPENED = 10  # of one message
_MAX_BYTES = 64_000_000  # a larger one stays closed: its files would all be in memory at once


def opened(layout: Layout) -> Layout:
    """The layout with what its containers hold."""
    return _with_embedded_files(_with_signed(_with_winmail(layout)))


def _with_signed(layout: Layout) -> Layout:
    """Opaque S/MIME (RFC 8551 section 3.5.2): the message within is read as if it stood here; the signature is not
    verified, and its signer is named as stated."""
    found = layout
    for part in [each for each in layout.attachments if _may_be_signed(each)][:_MAX_OPENED]:
        if len(part.encoded) > smime.MAX_BYTES:
            continue
        signed = smime.read(part.octets()[0])
        if signed is None:
            continue
        inner = layout_of(tree.read_tree(signed.content))
        found = replace(
            found,
            text=found.text + inner.text,
            html=found.html + inner.html,
            attachments=found.attachments + inner.attachments,
            is_broken=found.is_broken or inner.is_broken,
            defects=(*found.defects, *inner.defects, *(f"SignerNotVerified:{name}" for name in signed.signers)),
            charset=found.charset or inner.charset,
        )
    return found


def _may_be_signed(part: Part) -> bool:
    """By its type, or by its file's name where it is called just bytes (RFC 8551 section 3.2.1)."""
    is_bytes = part.content_type == "application/octet-stream"
    return part.content_type in smime.TYPES or (is_bytes and stated_filename(part).lower().endswith(".p7m"))


def _with_embedded_files(layout: Layout) -> Layout:
    """Files that are written into a text, by uuencode or BinHex 4.0: before MIME, mail had no other way."""
    files: list[Part] = []
    cut: dict[int, Part] = {}
    for part in layout.text:
        if part.content_type != "text/plain" or not any(part.holds(mark) for mark in embedded_files.MARKS):
            continue
        rest, found = embedded_files.apart(part.octets()[0], part.parameter("content-type", "charset"))
        if not found:
            continue
        cut[id(part)] = part.with_content(rest)
        files += [Part.of(file.octets, file.content_type, filename=file.filename) for file in found]
    if not files:
        return layout
    return replace(
        layout,
        text=tuple(cut.get(id(part), part) for part in layout.text),
        html=tuple(cut.get(id(part), part) for part in layout.html),
        attachments=(*layout.attachments, *files),
        defects=(*layout.defects, "EmbeddedFileDefect"),
    )


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
