"""Parses a raw message into a tree of parts that refer to ranges of its bytes. Limits bound hostile structures. Pure.

Structure and names of defects are those of the standard library's parser (RFC 2045, 2046 and 5322), which takes five
times the time, and many times the memory if lines are short. In damaged messages it finds more than that parser, and
notes defects with names of its own: see tree_reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailbox.mime import field_lines, header_block
from mailbox.mime.boundary_lines import Budget
from mailbox.mime.field_lines import MAX_HEADER
from mailbox.mime.part import MAX_MIME_HEADER, Part
from mailbox.mime.tree_reader import MAX_PARTS, Reader

__all__ = ["MAX_HEADER", "MAX_MIME_HEADER", "MAX_PARTS", "Part", "defects", "leaves", "raw_section", "read_headers"]
__all__ += ["read_tree"]


def read_tree(raw: bytes) -> Part:
    """Parse the message into its root part. Never raises, whatever the bytes."""
    raw, defects = header_block.begun_at_header(raw)
    root = Reader(raw).part(0, len(raw), 0, "text/plain")
    if "MissingHeaderBodySeparatorDefect" in root.defects:
        readable, had_junk = header_block.readable(raw)
        if had_junk:
            root = Reader(readable).part(0, len(readable), 0, "text/plain")
            root.defects.append("JunkInHeaderDefect")
    root.defects += defects
    if root.is_unreadable_multipart and not root.is_opaque:
        root.defects.append("MultipartInvariantViolationDefect")
    return root


def read_headers(raw: bytes) -> Part:
    """A root part with the header's fields alone: the content is not read."""
    raw, _ = header_block.begun_at_header(raw)
    root = Part(raw, 0, "text/plain")
    field_lines.read(raw, root, 0, len(raw), Budget())
    if "MissingHeaderBodySeparatorDefect" in root.defects:
        readable, had_junk = header_block.readable(raw)
        if had_junk:
            root = Part(readable, 0, "text/plain")
            field_lines.read(readable, root, 0, len(readable), Budget())
    return root


def leaves(root: Part) -> Iterator[Part]:
    """The parts with content of their own, in order. Not recursive, as the tree may be deep."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.children is None:
            yield part
        else:
            waiting.extend(reversed(part.children))


def defects(root: Part) -> Iterator[str]:
    """The names of the structure's defects, those of the standard library's parser where it has one."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield from part.defects
        waiting.extend(reversed(part.children or ()))


def raw_section(raw: bytes, subtype: bytes) -> Part | None:
    """The first section with `Content-Type: text/<subtype>`, for messages whose structure cannot be read, or None.

    It begins with its own header lines and ends at the next line that looks like a boundary.
    """
    stated = re.search(rb"^content-type[ \t]*:[ \t\r\n]*text/" + subtype + rb"\b", raw, re.I | re.M)
    if stated is None:
        return None
    start = raw.rfind(b"\n--", 0, stated.start())
    start = raw.find(b"\n", start + 1) + 1 if start >= 0 else stated.start()
    end = re.compile(rb"^--\S", re.M).search(raw, stated.end())
    return read_tree(raw[min(start, stated.start()) : end.start() if end else len(raw)])
