"""Opens containers: the files of a winmail.dat, a signed S/MIME message, files embedded in a text. Pure.

Their parts are appended to the message's own, so that the positions of those do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailbox.mime import transfer_encoding, tree
from mailbox.mime.body_parts import Layout, is_blank, layout_of, stated_filename
from mailbox.mime.files import embedded_files, smime, tnef
from mailbox.mime.tree import Part

_MESSAGES = ("message/rfc822", "message/global")
_MAX_OPENED = 10  # of one message
_MOST_WITHIN = 3  # signed messages within a signed one, one in each other, as in mail that is signed twice (RFC 2634)
_MAX_BYTES = 64_000_000  # a larger one is not opened, as all its files would be in memory at once


def opened(layout: Layout) -> Layout:
    """The layout with the parts of its containers added."""
    return _with_embedded_files(_with_signed(_with_winmail(layout), layout.attachments))


def _with_signed(layout: Layout, among: Sequence[Part], depth: int = 0) -> Layout:
    """Add the parts of a message within opaque S/MIME (RFC 8551 section 3.5.2), as if they were this message's own.

    The signature is not verified; each signer is named in a defect, as stated in the certificate.
    """
    found = layout
    for part in [each for each in among if _may_be_signed(each)][: 1 if depth else _MAX_OPENED]:
        if len(part.encoded) > smime.MAX_BYTES:
            continue
        signed = smime.read(part.octets()[0])
        if signed is None:
            continue
        inner = layout_of(_root_of(signed.content))
        found = replace(
            found,
            text=found.text + inner.text,
            html=found.html + inner.html,
            attachments=found.attachments + inner.attachments,
            is_broken=found.is_broken or inner.is_broken,
            defects=(*found.defects, *inner.defects, *(f"SignerNotVerified:{name}" for name in signed.signers)),
            charset=found.charset or inner.charset,
        )
        if depth < _MOST_WITHIN:
            found = _with_signed(found, inner.attachments, depth + 1)
    return found


def _root_of(signed: bytes) -> Part:
    """The root part of signed bytes: those of a message in message/rfc822 (RFC 8551 section 3.1), and a text where they
    have no header, and their lines but look like one."""
    root = tree.read_tree(signed)
    if root.content_type in _MESSAGES and root.children is None:
        return tree.read_tree(root.octets()[0])
    has_header = any(name.lower().startswith(("content-", "mime-")) for name, _ in root.fields)
    return root if has_header or not is_blank(root) else Part.of(signed, "text/plain")


def _may_be_signed(part: Part) -> bool:
    """Whether the part may be S/MIME by its type, or as application/octet-stream by its extension .p7m (RFC 8551
    section 3.2.1)."""
    is_bytes = part.content_type == "application/octet-stream"
    return part.content_type in smime.TYPES or (is_bytes and stated_filename(part).lower().endswith(".p7m"))


def _with_embedded_files(layout: Layout) -> Layout:
    """Move files embedded in plain text (uuencode, BinHex 4.0, yEnc) from the text to the attachments."""
    files: list[Part] = []
    cut: dict[int, Part] = {}
    for part in layout.text:
        if part.content_type != "text/plain" or not _may_hold_files(part):
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


def _may_hold_files(part: Part) -> bool:
    if part.transfer_encoding != "base64":
        return any(part.holds(mark) for mark in embedded_files.MARKS)
    if len(part.encoded) > _MAX_BYTES:
        return False
    octets = part.octets()[0]
    return any(mark in octets for mark in embedded_files.MARKS)


def _is_winmail(part: Part) -> bool:
    """Whether the part is TNEF by its type, or as application/octet-stream by its name and its first bytes."""
    if part.content_type != "application/octet-stream":
        return part.content_type in tnef.TYPES
    is_named = stated_filename(part).lower().endswith(".dat")
    return is_named and transfer_encoding.undone(part.transfer_encoding, part.encoded[:40])[0].startswith(
        tnef.SIGNATURE
    )


def _with_winmail(layout: Layout) -> Layout:
    """Add the files of winmail.dat (MS-OXTNEF); its text becomes the body if the message has no other."""
    wrapped = [part for part in layout.attachments if _is_winmail(part)][:_MAX_OPENED]
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
        if all(map(is_blank, (*text, *html))):
            texts = [Part.of(found.body_text.encode("utf-8", "replace"), "text/plain")] if found.body_text else []
            text = tuple(texts)
            html = (Part.of(found.body_html.encode("utf-8", "replace"), "text/html"),) if found.body_html else text
    return replace(layout, text=text, html=html, attachments=(*layout.attachments, *files), defects=tuple(defects))
