"""A raw message as a tree of parts that point into its bytes; bounded against hostile structure. Pure.

Structure and defects are those of the standard library's parser (RFC 2045, 2046 and 5322, and its reading of what
breaks them), which costs five times the time, and many times the memory where lines are short. Where structure is
damaged, more is found than that parser does, and a defect of its own says so: see tree_reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailbox.mime import header_block
from mailbox.mime.part import MAX_MIME_HEADER, Part
from mailbox.mime.tree_reader import MAX_HEADER, MAX_PARTS, Reader

__all__ = ["MAX_HEADER", "MAX_MIME_HEADER", "MAX_PARTS", "Part", "defects", "leaves", "raw_section", "read_headers"]
__all__ += ["read_tree"]


def read_tree(raw: bytes) -> Part:
    """The message as parts. Raises nothing that any bytes could cause."""
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
    """The header only."""
    raw, _ = header_block.begun_at_header(raw)
    root = Part(raw, 0, "text/plain")
    Reader(raw).header(root, 0, len(raw))
    if "MissingHeaderBodySeparatorDefect" in root.defects:
        readable, had_junk = header_block.readable(raw)
        if had_junk:
            root = Part(readable, 0, "text/plain")
            Reader(readable).header(root, 0, len(readable))
    return root


def leaves(root: Part) -> Iterator[Part]:
    """The parts that hold content, in order. Without recursion."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.children is None:
            yield part
        else:
            waiting.extend(reversed(part.children))


def defects(root: Part) -> Iterator[str]:
    """The names of what is wrong with the structure, in the words of the standard library's parser."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield from part.defects
        waiting.extend(reversed(part.children or ()))


def raw_section(raw: bytes, subtype: bytes) -> Part | None:
    """The first section that says `Content-Type: text/<subtype>`, where the structure around it cannot be read.

    It begins with its own header lines and ends at the next line that looks like a boundary.
    """
    stated = re.search(rb"^content-type[ \t]*:[ \t\r\n]*text/" + subtype + rb"\b", raw, re.I | re.M)
    if stated is None:
        return None
    start = raw.rfind(b"\n--", 0, stated.start())
    start = raw.find(b"\n", start + 1) + 1 if start >= 0 else stated.start()
    end = re.compile(rb"^--\S", re.M).search(raw, stated.end())
    return read_tree(raw[min(start, stated.start()) : end.start() if end else len(raw)])
