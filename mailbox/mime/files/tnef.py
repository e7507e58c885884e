"""Reads files and bodies in Outlook's winmail.dat, which is in Microsoft's TNEF format. Pure.

[MS-OXTNEF] defines the format, [MS-OXCMSG] section 2.2.2 the numbers of properties. Raises nothing for any bytes, and
reads each a bounded number of times. No library is used, since the existing one copies the rest of the file for each
attribute.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from mimetypes import MimeTypes

from mailbox.mime import charsets

TYPES = ("application/ms-tnef", "application/vnd.ms-tnef")
MAX_FILES = 500
_MAX_ATTRIBUTES = 20_000
_MAX_PROPERTIES = 20_000  # of the whole file
_MAX_DEPTH = 3  # of messages attached to messages

SIGNATURE = b"\x78\x9f\x3e\x22"
_ATTRIBUTE = struct.Struct("<BHHI")  # level, name, type, length; a checksum of two bytes follows the content
_OF_ATTACHMENT = 2
# Attributes ([MS-OXTNEF] section 2.1.3.2)
_SUBJECT, _BODY, _DATA, _TITLE = 0x8004, 0x800C, 0x800F, 0x8010
_TRANSPORT_NAME, _NEW_ATTACHMENT, _PROPERTIES, _ATTACHMENT, _CODE_PAGE = 0x9001, 0x9002, 0x9003, 0x9005, 0x9007
# Properties
_PR_SUBJECT, _PR_BODY, _PR_HTML, _PR_CODE_PAGE, _PR_NAME = 0x0037, 0x1000, 0x1013, 0x3FDE, 0x3001
_PR_DATA, _PR_SHORT_NAME, _PR_LONG_NAME, _PR_MIME_TAG, _PR_CONTENT_ID = 0x3701, 0x3704, 0x3707, 0x370E, 0x3712
# Sizes of property types, a short one padded to four bytes ([MS-OXTNEF] section 2.1.3.4)
_FIXED = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0xA: 4, 0xB: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_OBJECT, _UNICODE, _VARIABLE = 0x0D, 0x1F, (0x0D, 0x1E, 0x1F, 0x102)
_ATTACHED_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")  # IID_IMessage

_KNOWN_TYPES = MimeTypes(filenames=())  # without the machine's list, so that types are the same on every machine


@dataclass(frozen=True)
class TnefFile:
    """One file in a winmail.dat."""

    filename: str = ""
    content_type: str = ""
    content_id: str = ""
    octets: bytes = b""
    inside: tuple[TnefFile, ...] = ()  # for an attached message: its text and files, listed in place of this file


@dataclass
class Tnef:
    """The contents of a winmail.dat. is_sound: False if it is truncated, damaged, or exceeds a limit."""

    files: list[TnefFile] = field(default_factory=list)
    subject: str = ""
    body_text: str = ""
    body_html: str = ""
    is_sound: bool = True


def read(octets: bytes) -> Tnef:
    """Read the files and bodies of a winmail.dat, and the files of messages attached in it."""
    reader = _Reader(octets)
    found = Tnef()
    reader.message(found, 0, len(octets), 0)
    listed = [piece for file in found.files for piece in file.inside or (file,)]
    found.files = [_typed(each) for each in listed[:MAX_FILES]]
    return found


def _typed(file: TnefFile) -> TnefFile:
    stated = file.content_type or _KNOWN_TYPES.guess_type(file.filename[-200:], strict=True)[0]
    return replace(file, content_type=(stated or "application/octet-stream").lower())


class _Broken(Exception):
    """The data is damaged or exceeds a limit; nothing after this point is read."""


class _Reader:
    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.code_page = ""
        self.attributes_left = _MAX_ATTRIBUTES
        self.properties_left = _MAX_PROPERTIES

    def message(self, found: Tnef, start: int, end: int, depth: int) -> None:
        """Read the attributes into `found`. If the data is damaged, those before the damage are kept."""
        try:
            for level, name, first, last in self._attributes(start, end):
                if level != _OF_ATTACHMENT:
                    self._of_message(found, name, first, last)
                    continue
                if name == _NEW_ATTACHMENT or not found.files:
                    if len(found.files) >= MAX_FILES:
                        raise _Broken
                    found.files.append(TnefFile())
                found.files[-1] = self._of_attachment(found.files[-1], name, first, last, depth)
        except (struct.error, _Broken):
            found.is_sound = False

    def _attributes(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield each attribute: level, name, begin and end of its content."""
        if self.octets[start : start + len(SIGNATURE)] != SIGNATURE:
            raise _Broken
        position = start + len(SIGNATURE) + 2  # a key of two bytes
        while position + _ATTRIBUTE.size <= end:
            level, name, _type, length = _ATTRIBUTE.unpack_from(self.octets, position)
            first = position + _ATTRIBUTE.size
            self.attributes_left -= 1
            if first + length > end or self.attributes_left < 0:
                raise _Broken
            yield level, name, first, first + length
            position = first + length + 2

    def _of_message(self, found: Tnef, name: int, start: int, end: int) -> None:
        if name == _CODE_PAGE and end - start >= 4:
            number = struct.unpack_from("<I", self.octets, start)[0]
            self.code_page = _label(number)
        elif name == _SUBJECT:
            found.subject = self._text(start, end)
        elif name == _BODY:
            found.body_text = found.body_text or self._text(start, end)
        elif name == _PROPERTIES:
            html, html_page = b"", self.code_page
            for number, kind, first, last in self._properties(start, end):
                if number == _PR_BODY:
                    found.body_text = self._string(kind, first, last) or found.body_text
                elif number == _PR_SUBJECT:
                    found.subject = self._string(kind, first, last) or found.subject
                elif number == _PR_HTML:
                    html = self.octets[first:last]
                elif number == _PR_CODE_PAGE:
                    html_page = _label(struct.unpack_from("<I", self.octets, first)[0])
            if html:
                found.body_html = charsets.decode_text(html.rstrip(b"\0"), html_page)[0]

    def _of_attachment(self, file: TnefFile, name: int, start: int, end: int, depth: int) -> TnefFile:
        if name == _DATA:
            return replace(file, octets=self.octets[start:end])
        if name in (_TITLE, _TRANSPORT_NAME):
            return replace(file, filename=file.filename or self._text(start, end))
        if name == _ATTACHMENT:
            for number, kind, first, last in self._properties(start, end):
                file = self._with_property(file, number, kind, first, last, depth)
        return file

    def _with_property(self, file: TnefFile, number: int, kind: int, first: int, last: int, depth: int) -> TnefFile:
        if number == _PR_LONG_NAME:
            return replace(file, filename=self._string(kind, first, last) or file.filename)
        if number in (_PR_SHORT_NAME, _PR_NAME):
            return replace(file, filename=file.filename or self._string(kind, first, last))
        if number == _PR_MIME_TAG:
            return replace(file, content_type=self._string(kind, first, last))
        if number == _PR_CONTENT_ID:
            return replace(file, content_id=self._string(kind, first, last).strip("<> "))
        if number == _PR_DATA:
            interface = self.octets[first : first + 16] if kind == _OBJECT else b""
            file = replace(file, octets=self.octets[first + len(interface) : last])
            if interface == _ATTACHED_MESSAGE and depth < _MAX_DEPTH:
                file = replace(file, inside=self._attached_message(file, first + 16, last, depth))
        return file

    def _attached_message(self, file: TnefFile, start: int, end: int, depth: int) -> tuple[TnefFile, ...]:
        """A message attached to this one, as files: its text, named by its subject, and its own files."""
        inner = Tnef()
        self.message(inner, start, end, depth + 1)
        text, extension, content_type = inner.body_text, ".txt", "text/plain"
        if inner.body_html:
            text, extension, content_type = inner.body_html, ".html", "text/html"
        name = f"{inner.subject or file.filename or 'message'}{extension}"
        body = [TnefFile(name, content_type, octets=text.encode("utf-8", "replace"))] if text else []
        return (*body, *(piece for each in inner.files for piece in each.inside or (each,)))

    def _properties(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield each property: number, type, begin and end of its (first) value."""
        count = struct.unpack_from("<I", self.octets, start)[0]
        position = start + 4
        for _ in range(count):
            self.properties_left -= 1
            if position >= end or self.properties_left < 0:
                raise _Broken
            kind, number = struct.unpack_from("<HH", self.octets, position)
            position += 4
            if number >= 0x8000:  # a named property: a GUID follows, and a number or a text as its name
                is_text, length = struct.unpack_from("<II", self.octets, position + 16)
                position += 24 + (_padded(length) if is_text else 0)
            base = kind & 0xFFF
            values = 1
            if kind & 0x1000 or base in _VARIABLE:
                values = struct.unpack_from("<I", self.octets, position)[0]
                position += 4
            for value in range(values):
                first, last, position = self._value(base, position, end)
                if value == 0:
                    yield number, base, first, last

    def _value(self, base: int, position: int, end: int) -> tuple[int, int, int]:
        """Begin and end of a value, and the begin of the next one."""
        self.properties_left -= 1
        size = _FIXED.get(base)
        if size is None and base in _VARIABLE:
            size = struct.unpack_from("<I", self.octets, position)[0]
            position += 4
        if size is None or position + size > end or self.properties_left < 0:
            raise _Broken
        return position, position + size, position + _padded(size)

    def _string(self, kind: int, start: int, end: int) -> str:
        if kind == _UNICODE:
            return self.octets[start:end].decode("utf-16-le", "replace").partition("\0")[0]
        return self._text(start, end)

    def _text(self, start: int, end: int) -> str:
        return charsets.decode_text(self.octets[start:end].partition(b"\0")[0], self.code_page)[0]


def _padded(length: int) -> int:
    return length + -length % 4


def _label(code_page: int) -> str:
    """The charset of a Windows code page."""
    return {65001: "utf-8", 20127: "us-ascii", 28591: "iso-8859-1", 50220: "iso-2022-jp"}.get(
        code_page, f"cp{code_page}"
    )
