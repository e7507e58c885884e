"""One MIME part: the range of its content in the message's bytes, and its header fields. Pure.

RFC 2045 (MIME fields), RFC 2046 (media types). Content is copied and decoded only on request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from mailbox.mime import charsets, parameters
from mailbox.mime import transfer_encoding as mime_transfer_encoding

# A multipart deeper than this stays one opaque part, as each level scans all of its content once more.
MAX_DEPTH = 100
# A MIME header longer than this is cut.
MAX_MIME_HEADER = 4096
_MOST_OTHERS = 4
_CUT = frozenset({"content-type", "content-disposition", "content-transfer-encoding", "content-id"})
_PLAIN_TYPE = re.compile(r"[a-z0-9.+_-]+/[a-z0-9.+_-]+")
_MEANT_TYPE = re.compile(
    r"(?:content-type\s*+:|(?!))?+[\s\"'<(=]*+([a-z][a-z0-9.+_-]*+)\s*+[/\\]{1,2}+\s*+([a-z0-9!#$&^.+_*-]++)"
)
_MEANT_BY_ONE_WORD = {"multipart": "multipart/mixed", "html": "text/html", "pdf": "application/pdf"}
_MEANT_BY_SUBTYPE = {"plain": "text/plain", "mixed": "multipart/mixed", "alternative": "multipart/alternative"}
_MEANT_BY_SUBTYPE |= {"related": "multipart/related"} | _MEANT_BY_ONE_WORD
_JOINED_TYPE = re.compile(r"(text|multipart|application|image)[-._](?=[a-z])")  # text-html, multipart.mixed
# Other names that browsers and mail programs use for text/html; text/x-amp-html and text/watch-html are not among them.
_HTML_TYPE = re.compile(
    r"(?:text|x-text|application)/(?:x-|vnd\.|(?!))?+x?+html?+\d?+(?:\+[a-z]+|(?!))?+|html/(?:text|plain)"
)
_TEXT_TYPE = re.compile(r"plain/(?:text|plain)|text/\*")
_MULTIPART_TYPE = re.compile(r"(?:x-|(?!))?+multi-?+parts?+/")
XHTML = "application/xhtml+xml"  # treated as HTML only where it is the body; otherwise it is a file
_USUAL_TYPES = frozenset(("text/plain", "text/html", "multipart/mixed", "multipart/alternative", "multipart/related"))
_COMMENT = re.compile(r"\([^()]*+\)")


class Part:
    """A MIME part. message/* parts are leaves, so that an attached message keeps its exact bytes; so are multiparts
    that are nested too deep."""

    __slots__ = (
        "_content_type",
        "_first",
        "_parameters",
        "_raw",
        "_read",
        "children",
        "default_type",
        "defects",
        "depth",
        "end",
        "end_of_preamble",
        "fields",
        "header_charset",
        "inherited_encoding",
        "longest_header",
        "start",
    )

    def __init__(self, raw: bytes, depth: int, default_type: str) -> None:
        self._raw = raw
        self.depth = depth
        self.default_type = default_type
        self.start = self.end = 0  # of the content
        self.end_of_preamble = 0  # of a multipart: where its first boundary line begins
        self.fields: list[tuple[str, str]] = []
        self.children: list[Part] | None = None
        self.defects: list[str] = []
        self.longest_header = MAX_MIME_HEADER
        self.header_charset = ""
        self.inherited_encoding = ""  # transfer encoding of its multipart, see inherit_encoding()
        self._first: dict[str, str] | None = None
        self._read: dict[str, str] = {}  # decoded values of fields that contain 8-bit text
        self._content_type: str | None = None
        self._parameters: dict[str, Mapping[str, str]] = {}

    @classmethod
    def of(cls, octets: bytes, content_type: str, *, filename: str = "", content_id: str = "") -> Part:
        """Make a part that is not in the message's own tree, as from a container. Text in it is read as UTF-8."""
        part = cls(octets, 1, "text/plain")
        part.end = len(octets)
        part.fields = [("Content-Type", content_type), ("Content-ID", content_id)]
        if not content_id:
            part.fields.append(("Content-Disposition", "attachment"))
        part._parameters = {"content-type": {"charset": "utf-8"}, "content-disposition": {"filename": filename}}
        return part

    def get(self, name: str, otherwise: str = "") -> str:
        """The first non-empty field of this name (lower case), with 8-bit text decoded and folds kept."""
        if self._first is None:
            self._first = {field.lower(): value for field, value in reversed(self.fields) if value}
        value = self._first.get(name)
        if value is None:
            return otherwise
        if charsets.is_plain_ascii(value):
            return value[: self.longest_header] if name in _CUT else value
        if name not in self._read:
            limit = self.longest_header if name in _CUT else len(value)
            self._read[name] = charsets.header_text(value[:limit], self.header_charset)
        return self._read[name]

    def forget_fields(self) -> None:
        """Clear the caches of header values, after fields were added."""
        self._first = self._content_type = None
        self._parameters, self._read = {}, {}

    def read_headers_in(self, charset: str) -> None:
        """Decode 8-bit text in this header that is not UTF-8 by `charset`, the charset of the message's body."""
        if charset and not all(charsets.is_utf8(value) for _, value in self.fields):
            self.header_charset = charset
            self._parameters, self._read = {}, {}
            self.defects.append("EightBitHeaderDefect")

    @property
    def content_type(self) -> str:
        """Type and subtype, lower case; text/plain when absent (RFC 2045 section 5.2).

        A malformed field is read as the type that it most likely means; a type/subtype that cannot be read is
        application/octet-stream.
        """
        if self._content_type is None:
            stated = self.get("content-type", self.default_type).partition(";")[0].strip().lower()
            if stated not in _USUAL_TYPES:
                meant = _meant_type(stated)
                if meant != stated:
                    self.defects.append("MimeFieldDefect")
                stated = meant or ("application/octet-stream" if stated.partition("/")[2] else "text/plain")
            self._content_type = stated
        return self._content_type

    @property
    def says_multipart(self) -> bool:
        """Whether its content type is multipart/*, also where it is a leaf."""
        return self.content_type.startswith("multipart/")

    @property
    def is_opaque(self) -> bool:
        """Whether this is a multipart that was kept as a leaf because it is nested too deep."""
        return self.depth >= MAX_DEPTH and self.says_multipart

    @property
    def is_unreadable_multipart(self) -> bool:
        """Whether the type is multipart, but the boundary is absent or was not found in the content."""
        return self.children is None and self.says_multipart

    @property
    def is_empty_multipart(self) -> bool:
        """Whether this is a multipart that contains nothing but its closing boundary."""
        return self.is_unreadable_multipart and not self._raw[self.start : self.end].strip()

    def parameter(self, header: str, name: str) -> str:
        """A parameter of a MIME header (both names lower case), or "". RFC 2231 is decoded, and RFC 2047 where it is
        used against the standard."""
        if header not in self._parameters:
            field = self.get(header)
            if field.startswith("=?"):  # all of it is one encoded word, which RFC 2047 section 5 forbids
                field = charsets.decode_words(field)
            self._parameters[header] = parameters.parameters(field)
            if (field.count("=") > field.count(";") or ":" in field) and parameters.is_malformed(field):
                self.defects.append("MimeFieldDefect")
        return self._parameters[header].get(name, "")

    def others(self, name: str) -> Iterator[str]:
        """The second to fourth fields of this name (lower case), where a part should have only one."""
        found = (value for field, value in self.fields if field.lower() == name)
        return islice(found, 1, _MOST_OTHERS)

    def octets(self) -> tuple[bytes, bool]:
        """The content without its transfer encoding, and whether that encoding was valid."""
        if self.children is not None:
            return b"", True
        return mime_transfer_encoding.undone(self.transfer_encoding, self.encoded)

    @property
    def transfer_encoding(self) -> str:
        """Its content transfer encoding (RFC 2045, 6); where it states none, see inherit_encoding()."""
        stated = "" if self.inherited_encoding else self.get("content-transfer-encoding")
        return mime_transfer_encoding.encoding_of(stated) if stated else self.inherited_encoding

    def inherit_encoding(self, encoding: str) -> None:
        """Use the transfer encoding that the multipart states, if this part states none and its content looks like
        it."""
        if (
            encoding in mime_transfer_encoding.ENCODINGS
            and self.children is None
            and not self.get("content-transfer-encoding")
        ):
            self.inherited_encoding = mime_transfer_encoding.inherited(encoding, bytes(self.encoded))
            if self.inherited_encoding:
                self.defects.append("EncodedMultipartDefect")

    def choose_encoding(self) -> None:
        """Of several fields that state the transfer encoding, use the one that the content looks like."""
        if self.children is None and self.transfer_encoding not in mime_transfer_encoding.ENCODINGS:
            for other in self.others("content-transfer-encoding"):
                encoding = mime_transfer_encoding.encoding_of(other)
                self.inherited_encoding = mime_transfer_encoding.inherited(encoding, bytes(self.encoded))
                if self.inherited_encoding:
                    self.defects.append("MimeFieldDefect")
                    return

    def preamble(self) -> Part:
        """What stands above the parts of a multipart, as a text: readers of MIME do not show it (RFC 2046, 5.1.1)."""
        text = Part(self._raw, self.depth + 1, "text/plain")
        text.start, text.end = self.start, max(self.start, self.end_of_preamble)
        return text

    @property
    def encoded(self) -> memoryview:
        """The content as it is in the message, not decoded."""
        return memoryview(self._raw)[self.start : self.end]

    def holds(self, mark: bytes) -> bool:
        """Whether the content, not decoded, contains these bytes."""
        return self._raw.find(mark, self.start, self.end) >= 0

    def set_content(self, octets: bytes, content_type: str = "") -> None:
        """Replace the content by these decoded bytes, and the type by `content_type` if given."""
        self._raw, self.start, self.end = octets, 0, len(octets)
        self.fields = [(name, value) for name, value in self.fields if name.lower() != "content-transfer-encoding"]
        self._first = None
        self._content_type = content_type or self._content_type

    def with_content(self, octets: bytes) -> Part:
        """A copy of this part with these decoded bytes as its content."""
        other = Part(self._raw, self.depth, self.default_type)
        other.fields, other.header_charset, other._content_type = self.fields, self.header_charset, self.content_type
        other.set_content(octets)
        return other

    def treat_as(self, content_type: str) -> None:
        """Treat the part as this type, whatever its header states."""
        self._content_type = content_type


def _meant_type(stated: str) -> str:
    """The media type that a field means, also when it breaks RFC 2045 section 5.1; "" when none is recognised."""
    if _PLAIN_TYPE.fullmatch(stated) and not stated.endswith("."):
        return _known_type(stated)
    plain = _JOINED_TYPE.sub(r"\1/", _COMMENT.sub("", charsets.decode_words(stated).lower()).lstrip(" \t\"'"), count=1)
    found = _MEANT_TYPE.match(plain)
    if found:
        return _known_type(f"{found[1]}/{found[2].rstrip('.')}")
    word = re.split(r"[\s/,:]", plain.strip(" \t\"'"), maxsplit=1)[0]
    return _MEANT_BY_ONE_WORD.get(word) or _MEANT_BY_SUBTYPE.get(plain.strip(" \t\"'/"), "")


def _known_type(stated: str) -> str:
    """A well-formed type under the name that the rest of the parser uses: text/html, text/plain and multipart/... for
    variants."""
    if _HTML_TYPE.fullmatch(stated) and stated != XHTML:
        return "text/html"
    if _TEXT_TYPE.fullmatch(stated):
        return "text/plain"
    return _MULTIPART_TYPE.sub("multipart/", stated, count=1)
