"""winmail.dat files put together as [MS-OXTNEF] says, for the tests of reading them."""

from __future__ import annotations

import struct

MESSAGE_ID = bytes.fromhex("0703020000000000c000000000000046")


def attribute(level: int, name: int, kind: int, content: bytes) -> bytes:
    return struct.pack("<BHHI", level, name, kind, len(content)) + content + struct.pack("<H", sum(content) & 0xFFFF)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)


def text_property(number: int, text: str) -> bytes:
    content = text.encode("utf-16-le") + b"\0\0"
    return struct.pack("<HHII", 0x1F, number, 1, len(content)) + padded(content)


def binary_property(number: int, content: bytes, kind: int = 0x102) -> bytes:
    return struct.pack("<HHII", kind, number, 1, len(content)) + padded(content)


def number_property(number: int, value: int) -> bytes:
    return struct.pack("<HHI", 3, number, value)


def named_property(name: str, value: str) -> bytes:
    """One with a name instead of a number, which a reader must step over."""
    written = name.encode("utf-16-le") + b"\0\0"
    content = value.encode("utf-16-le") + b"\0\0"
    head = struct.pack("<HH", 0x1F, 0x8001) + b"\1" * 16 + struct.pack("<II", 1, len(written)) + padded(written)
    return head + struct.pack("<II", 1, len(content)) + padded(content)


def properties(*each: bytes) -> bytes:
    return struct.pack("<I", len(each)) + b"".join(each)


def attached(title: bytes, content: bytes, *more: bytes) -> bytes:
    """The attributes of one attachment; `more` are its properties."""
    return (
        attribute(2, 0x9002, 6, b"\1\0" + b"\xff" * 12)
        + attribute(2, 0x8010, 1, title + b"\0")
        + attribute(2, 0x800F, 6, content)
        + (attribute(2, 0x9005, 6, properties(*more)) if more else b"")
    )


def attached_message(inner: bytes) -> bytes:
    held = properties(number_property(0x3705, 5), binary_property(0x3701, MESSAGE_ID + inner, 0x0D))
    return attribute(2, 0x9002, 6, b"\1\0" + b"\xff" * 12) + attribute(2, 0x9005, 6, held)


def tnef(*attributes: bytes) -> bytes:
    code_page = attribute(1, 0x9007, 6, struct.pack("<II", 1252, 0))
    return b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x9006, 8, b"\0\0\1\0") + code_page + b"".join(attributes)
