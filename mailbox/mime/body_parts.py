"""Decides which parts of a message are its body and which are attachments. Pure.

The algorithm of RFC 8621 section 4.1.4 (`textBody`, `htmlBody`): body parts are displayed in their order, and an HTML
part replaces a text part only within the same multipart/alternative (RFC 2046 sections 5.1.3 and 5.1.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mailbox.mime import charsets, damaged, parameters, transfer_encoding
from mailbox.mime import tree as mime_tree
from mailbox.mime.part import XHTML, Part

# Characters of all parts' headers that are read in full. Beyond them each MIME field is cut to _SHORT_HEADER, so that a
# message of thousands of parts with thousands of parameters each does not take minutes.
MAX_HEADERS = 4_000_000
_SHORT_HEADER = 256
_MOST_ABOVE = 10  # multiparts within the root that are looked at for a text above their parts
_PREAMBLE = 2_000  # bytes that tell whether it is the customary one
MAX_BODY_PARTS = 200  # of each body; further ones are attachments

_OTHER_NAMES = (
    *(("content-disposition", "name"), ("content-type", "filename")),
    *(("content-disposition", "file"), ("content-type", "file")),
)
# How PDF, ZIP (and Office), PNG, JPEG, GIF, TIFF, gzip and old Office files begin.
_FILE_MARKS = (
    *(b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\x1f\x8b\x08"),
    b"\xd0\xcf\x11\xe0",
)
_FILE_NAME = re.compile(r"[^\s/\\:]{1,200}\.[A-Za-z0-9]{2,5}")
_ID_COMMENT = re.compile(r"\A\s*+\([^()]*+\)|(?<=>)\s*+\([^()]*+\)\s*+\Z")
_TEXTS = ("text/plain", "text/html")
# Alternatives for AMP and watches, and enriched text (RFC 1896). In an alternative: neither body nor attachment.
_UNREAD_ALTERNATIVES = ("text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext")
# Text types that are files even without a file name or a disposition.
_TEXT_FILES = (
    "text/calendar",
    "text/csv",
    "text/directory",
    "text/rtf",
    "text/rfc822-headers",
    "text/vcard",
    "text/x-patch",
    "text/x-vcalendar",
    "text/x-vcard",
)


@dataclass(frozen=True)
class Layout:
    """The role of each part.

    `text` and `html` are the body's parts in order, for display as plain text and as HTML. A part without an
    alternative in the other form is in both: so `html` may contain text parts, and both an image between two texts.
    """

    text: tuple[Part, ...]
    html: tuple[Part, ...]
    attachments: tuple[Part, ...]
    is_broken: bool  # a part's structure cannot be read; its sections can only be searched for in the raw bytes
    defects: tuple[str, ...] = ()
    charset: str = ""  # stated by the body; "" for none, or US-ASCII


def layout_of(root: Part) -> Layout:
    """The body's parts and the attachments of a message, each in their order in it."""
    reader = _Reader(root)
    reader.parts([root], "mixed", in_alternative=False, into=(reader.text, reader.html))
    text, html = _without_blanks(reader.text), _without_blanks(reader.html)
    attachments = reader.attachments
    if not any(part.content_type in _TEXTS for part in (*text, *html)):
        # Some senders give the body a file name, or a text type other than plain and HTML.
        found = next((part for part in (*attachments, *reader.unread) if _may_stand_for_body(part)), None)
        if found is not None:
            text, html = [found], [found]
            attachments = [part for part in attachments if part is not found]
            if found.content_type in _UNREAD_ALTERNATIVES:  # its text is between tags, as in HTML
                found.treat_as("text/html")
    if root.children is not None and all(is_blank(part) for part in (*text, *html) if part.content_type in _TEXTS):
        said = _text_above_parts(root)
        if said is not None:
            text, html = [said, *text], [said, *html]
            reader.defects.append("BoundaryGuessedDefect")
    charset = _charset_of(root, (*text, *html))
    for part in attachments:
        part.read_headers_in(charset)
    return Layout(tuple(text), tuple(html), tuple(attachments), reader.is_broken, tuple(reader.defects), charset)


def _text_above_parts(root: Part) -> Part | None:
    """The mail's text above the parts of a multipart, where a script forgot the boundary line; None for the customary
    words to readers without MIME."""
    multiparts = [root, *(part for part in (root.children or ())[:_MOST_ABOVE] if part.children is not None)]
    for said in (part.preamble() for part in multiparts):
        if not is_blank(said) and not damaged.is_about_mime(bytes(said.encoded[:_PREAMBLE])):
            return said
    return None


@dataclass
class _Reader:
    """Sorts the parts of one message."""

    root: Part
    text: list[Part] = field(default_factory=list)
    html: list[Part] = field(default_factory=list)
    attachments: list[Part] = field(default_factory=list)
    unread: list[Part] = field(default_factory=list)  # _UNREAD_ALTERNATIVES and empty multiparts
    defects: list[str] = field(default_factory=list)
    is_broken: bool = False
    leaves: int = 0
    spent: int = 0

    def parts(
        self,
        parts: Sequence[Part],
        subtype: str,
        *,
        in_alternative: bool,
        into: tuple[list[Part] | None, list[Part] | None],
        start: str = "",
    ) -> None:
        """Sort the parts of one multipart into the lists for the text and the HTML body.

        into: None for a body that another alternative serves. start: content id of a multipart/related's root."""
        text, html = into
        text_before, html_before = len(text or ()), len(html or ())
        first = _root_of_related(parts, start) if subtype == "related" else 0
        for place, part in enumerate(parts):
            if part.children is not None:
                self._of_multipart(part, part.children, in_alternative=in_alternative, into=(text, html))
                continue
            if not self._may_look(part):
                return
            if part.is_empty_multipart or (in_alternative and _is_unread(part)):
                self.unread.append(part)
                continue
            if not self._is_body(part, place - first, subtype):
                self.attachments.append(part)
            elif subtype == "alternative":
                chosen = text if part.content_type == "text/plain" else html
                if part.content_type not in _TEXTS or chosen is None:
                    self.attachments.append(part)
                else:
                    chosen.append(part)
            else:
                if in_alternative and part.content_type in _TEXTS:
                    # By the RFC's algorithm a text part behind an HTML part would be in neither body here.
                    if part.content_type == "text/plain":
                        html = html if text is None else None
                    else:
                        text = text if html is None else None
                for body in (text, html):
                    if body is not None:
                        body.append(part)
                if part.content_type not in _TEXTS or self._is_file(part):  # listed as an attachment, too
                    self.attachments.append(part)
        if subtype == "alternative" and text is not None and html is not None:
            if len(text) == text_before:
                text += html[html_before:]
            elif len(html) == html_before:
                html += text[text_before:]

    def _of_multipart(
        self,
        part: Part,
        children: Sequence[Part],
        *,
        in_alternative: bool,
        into: tuple[list[Part] | None, list[Part] | None],
    ) -> None:
        subtype = part.content_type.partition("/")[2]
        start = part.parameter("content-type", "start").strip("<>") if subtype == "related" else ""
        is_within = in_alternative or subtype == "alternative"
        self.parts(children, subtype, in_alternative=is_within, into=into, start=start)

    def _may_look(self, part: Part) -> bool:
        self.leaves += 1
        if self.leaves > mime_tree.MAX_PARTS:
            self.defects.append("TooManyParts")
            return False
        self.spent += sum(min(len(value), mime_tree.MAX_MIME_HEADER) for _name, value in part.fields)
        if self.spent > MAX_HEADERS and part is not self.root:
            part.longest_header = _SHORT_HEADER
            self.defects.append("TooMuchHeader")
        if part.is_opaque:
            self.defects.append("NestingTooDeep")
        if part.is_opaque or (part.is_unreadable_multipart and not part.is_empty_multipart):
            self.is_broken = True
        return True

    def _is_file(self, part: Part) -> bool:
        """Whether the message is nothing but a text file: shown, and offered as the file."""
        return part is self.root and disposition(part) == "attachment" and bool(stated_filename(part))

    def _is_body(self, part: Part, place: int, subtype: str) -> bool:
        if part.content_type == XHTML and disposition(part) != "attachment" and not stated_filename(part):
            part.treat_as("text/html")
        if part is self.root and part.content_type in _TEXTS:
            return not (self._is_file(part) and _is_of_no_text(part))
        is_image = part.content_type.startswith("image/")
        if part.content_type not in _TEXTS and not is_image:
            return False
        if disposition(part) == "attachment" or len(self.text) + len(self.html) >= 2 * MAX_BODY_PARTS:
            return False
        return place == 0 or (subtype != "related" and (is_image or not stated_filename(part)))


def _charset_of(root: Part, body: Sequence[Part]) -> str:
    stated = (part.parameter("content-type", "charset") for part in (*body[:10], root))
    return next((charset for charset in stated if charset.lower() not in ("", "us-ascii", "ascii")), "")


def _root_of_related(parts: Sequence[Part], start: str) -> int:
    """Index of the root of a multipart/related (RFC 2387 section 3.2): the part that `start` names, else the first.

    If the first is neither text nor a multipart, the first HTML part or multipart is the root instead.
    """
    for place, part in enumerate(parts if start else ()):
        if content_id_of(part) == start and (part.content_type in _TEXTS or part.says_multipart):
            return place
    likely = (place for place, part in enumerate(parts) if part.content_type == "text/html" or part.says_multipart)
    return 0 if not parts or parts[0].content_type in _TEXTS or parts[0].says_multipart else next(likely, 0)


def _without_blanks(parts: list[Part]) -> list[Part]:
    """Leave out blank parts, if there is more than one part: Apple Mail adds an empty one after each attachment."""
    return [part for part in parts if not is_blank(part)] if len(parts) > 1 else parts


def _is_unread(part: Part) -> bool:
    """Whether the part is an alternative that is never displayed. With a file name it is an attachment instead."""
    return part.content_type in _UNREAD_ALTERNATIVES and disposition(part) != "attachment" and not stated_filename(part)


def disposition(part: Part) -> str:
    """The disposition type (RFC 2183): "attachment", "inline" or another word, lower case; "" when none is stated."""
    stated = part.get("content-disposition")
    stated = charsets.decode_words(stated) if stated.startswith("=?") else stated
    stated = stated.split(";")[0].strip(' \t\r\n"').lower()
    word = re.split(r"[\s,(]", stated, maxsplit=1)[0]
    return "" if "=" in word else word


def _is_of_no_text(part: Part) -> bool:
    """Whether a file that is called a text begins like one of another kind, as scanners and scripts call what they
    send."""
    return transfer_encoding.undone(part.transfer_encoding, part.encoded[:200])[0].startswith(_FILE_MARKS)


def _may_stand_for_body(part: Part) -> bool:
    is_text = part.content_type.startswith("text/") and part.content_type not in _TEXT_FILES
    return is_text and disposition(part) != "attachment"


def is_blank(part: Part) -> bool:
    """Whether it is a text without a word or a picture."""
    if part.content_type not in _TEXTS or len(part.encoded) > 2000:
        return False
    octets = part.octets()[0]
    return b"<img" not in octets.lower() and not re.sub(rb"<[^<>]*>|&nbsp;|\s", b"", octets)


def stated_filename(part: Part) -> str:
    """The file name that the part states, or "".

    From `filename` of Content-Disposition (RFC 2183 section 2.3), else the older `name` of Content-Type, else from
    these parameters in the other field, or named `file`, as some senders write them.
    """
    stated = part.parameter("content-disposition", "filename") or part.parameter("content-type", "name")
    stated = stated or next(filter(None, (part.parameter(*where) for where in _OTHER_NAMES)), "")
    return stated or next(filter(None, map(_filename_in, part.others("content-disposition"))), "")


def described_filename(part: Part) -> str:
    """The Content-Description (RFC 2045 section 8) where it is a file's name: some programs state none elsewhere."""
    described = charsets.unfold(charsets.decode_words(part.get("content-description")[:300])).strip("\"'")
    return described if _FILE_NAME.fullmatch(described) else ""


def _filename_in(field: str) -> str:
    return parameters.parameters(field[: mime_tree.MAX_MIME_HEADER]).get("filename", "")


def content_id_of(part: Part) -> str:
    """The Content-ID (RFC 2392) without angle brackets; "" when there is none. Senders also put quotes, doubled
    brackets, a comment or `cid:` around it, or write it as an encoded word."""
    stated = part.get("content-id")
    stated = charsets.unfold(charsets.decode_words(stated) if "=?" in stated else stated)
    if stated[:1] != "<" or stated[-1:] != ">" or stated[1:2] in "<\"'" or stated[1:5].lower() == "cid:":
        stated = _ID_COMMENT.sub("", stated).strip("<>\"' ")
        stated = stated[4:] if stated[:4].lower() == "cid:" else stated
    return stated.removeprefix("<").removesuffix(">").strip()[:998]
