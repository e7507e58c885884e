"""Which part of a message is the shown body, and which are attachments. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbox.mime import charsets
from mailbox.mime import tree as mime_tree
from mailbox.mime.tree import Part

# Characters of all parts' headers that are read with care. Behind them only the first of each field is: a message of
# thousands of parts with thousands of parameters each must not cost minutes.
MAX_HEADERS = 4_000_000
_SHORT_HEADER = 256


@dataclass(frozen=True)
class Layout:
    """Which part is what."""

    text: Part | None
    html: Part | None
    attachments: tuple[Part, ...]
    is_broken: bool  # the structure hides sections that can only be found in the raw text
    defects: tuple[str, ...] = ()


def layout_of(root: Part) -> Layout:
    """The first text/plain and the first text/html that are no attachments are the body; the rest is attached."""
    text: Part | None = None
    html: Part | None = None
    attached: list[Part] = []
    is_broken = False
    defects: list[str] = []
    named_text: Part | None = None
    spent = 0
    for count, part in enumerate(mime_tree.leaves(root)):
        if count >= mime_tree.MAX_PARTS:
            defects.append("TooManyParts")
            break
        spent += sum(min(len(value), mime_tree.MAX_MIME_HEADER) for _name, value in part.fields)
        if spent > MAX_HEADERS and part is not root:
            part.longest_header = _SHORT_HEADER
            defects.append("TooMuchHeader")
        if part.is_opaque:
            defects.append("NestingTooDeep")
        if part.is_opaque or part.is_unreadable_multipart:
            is_broken = True
            if part is root:
                continue
        is_body = _may_be_body(part) or (part is root and part.content_type in ("text/plain", "text/html"))
        if is_body and part.content_type == "text/plain" and text is None:
            text = part
        elif is_body and part.content_type == "text/html" and html is None:
            html = part
        elif not (is_body and _is_blank(part)):
            attached.append(part)
            if named_text is None and part.content_type == "text/plain" and disposition(part) != "attachment":
                named_text = part
    if text is None and html is None and named_text is not None:
        # Some senders give even the body a file name.
        text = named_text
        attached.remove(named_text)
    return Layout(text, html, tuple(attached), is_broken, tuple(defects))


def disposition(part: Part) -> str:
    return part.get("content-disposition").split(";")[0].strip().lower()


def _may_be_body(part: Part) -> bool:
    return (
        part.content_type in ("text/plain", "text/html")
        and disposition(part) != "attachment"
        and not stated_filename(part)
    )


def _is_blank(part: Part) -> bool:
    """Apple Mail closes with an empty HTML part after each attachment: nothing that anyone attached."""
    octets = part.octets()[0]
    return len(octets) < 2000 and b"<img" not in octets.lower() and not re.sub(rb"<[^<>]*>|&nbsp;|\s", b"", octets)


def stated_filename(part: Part) -> str:
    return part.parameter("content-disposition", "filename") or part.parameter("content-type", "name")


def content_id_of(part: Part) -> str:
    stated = charsets.unfold(part.get("content-id"))
    return stated.removeprefix("<").removesuffix(">").strip()[:998]
