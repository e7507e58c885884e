"""Which parts of a message are its body, and which are attachments. Pure.

The algorithm of RFC 8621 section 4.1.4 (`textBody`, `htmlBody`): parts are shown in their order, and an HTML part
stands for a text only within one multipart/alternative (RFC 2046 sections 5.1.3 and 5.1.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mailbox.mime import charsets, parameters
from mailbox.mime import tree as mime_tree
from mailbox.mime.part import XHTML, Part

# Characters of all parts' headers that are read with care. Behind them only the first of each field is: a message of
# thousands of parts with thousands of parameters each must not cost minutes.
MAX_HEADERS = 4_000_000
_SHORT_HEADER = 256
MAX_BODY_PARTS = 200  # of each body; further ones are attachments

_OTHER_NAMES = (
    *(("content-disposition", "name"), ("content-type", "filename")),
    *(("content-disposition", "file"), ("content-type", "file")),
)
_TEXTS = ("text/plain", "text/html")
# Other ways to say the same, for programs that are no mail clients, and RFC 1896: neither body nor attachment.
_UNREAD_ALTERNATIVES = ("text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext")
# Texts that are files even where nothing says so.
_TEXT_FILES = (
    "text/calendar",
    "text/csv",
    "text/directory",
    "text/rfc822-headers",
    "text/vcard",
    "text/x-patch",
    "text/x-vcalendar",
    "text/x-vcard",
)


@dataclass(frozen=True)
class Layout:
    """Which part is what.

    `text` and `html` are what is shown in turn, to a reader of plain text and to one of HTML: each holds also what has
    no other form, so a text part stands in `html` too, and a picture between two texts in both.
    """

    text: tuple[Part, ...]
    html: tuple[Part, ...]
    attachments: tuple[Part, ...]
    is_broken: bool  # the structure hides sections that can only be found in the raw text
    defects: tuple[str, ...] = ()
    charset: str = ""  # that the body says it is in, "" when it says none


def layout_of(root: Part) -> Layout:
    """The body and the attachments of a message, each in the order in which they stand."""
    reader = _Reader(root)
    reader.parts([root], "mixed", in_alternative=False, into=(reader.text, reader.html))
    text, html = _without_blanks(reader.text), _without_blanks(reader.html)
    attachments = reader.attachments
    if not any(part.content_type in _TEXTS for part in (*text, *html)):
        # Some senders give even the body a file name, or a type of text that is none of the two.
        found = next((part for part in (*attachments, *reader.unread) if _may_stand_for_body(part)), None)
        if found is not None:
            text, html = [found], [found]
            attachments = [part for part in attachments if part is not found]
            if found.content_type in _UNREAD_ALTERNATIVES:  # its words are between tags, as those of HTML
                found.is_now("text/html")
    charset = _charset_of(root, (*text, *html))
    for part in attachments:
        part.read_headers_in(charset)
    return Layout(tuple(text), tuple(html), tuple(attachments), reader.is_broken, tuple(reader.defects), charset)


@dataclass
class _Reader:
    """Sorts the parts of one message."""

    root: Part
    text: list[Part] = field(default_factory=list)
    html: list[Part] = field(default_factory=list)
    attachments: list[Part] = field(default_factory=list)
    unread: list[Part] = field(default_factory=list)  # other ways to say the same
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
        """Sort these parts of one multipart. `into`: the text and the HTML body, None for one that has this already.
        `start`: the content id of a related group's root."""
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
                    # The RFC's own words lose a text behind an HTML part here: it has been given up in both.
                    if part.content_type == "text/plain":
                        html = html if text is None else None
                    else:
                        text = text if html is None else None
                for body in (text, html):
                    if body is not None:
                        body.append(part)
                if part.content_type not in _TEXTS:  # a picture is listed too, wherever it is shown
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

    def _is_body(self, part: Part, place: int, subtype: str) -> bool:
        if part.content_type == XHTML and disposition(part) != "attachment" and not stated_filename(part):
            part.is_now("text/html")
        if part is self.root and part.content_type in _TEXTS:
            return True
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
    """RFC 2387 section 3.2: the part that is named, else the first, unless it cannot be what is read and an HTML part
    or a multipart can."""
    for place, part in enumerate(parts if start else ()):
        if content_id_of(part) == start and (part.content_type in _TEXTS or part.says_multipart):
            return place
    likely = (place for place, part in enumerate(parts) if part.content_type == "text/html" or part.says_multipart)
    return 0 if not parts or parts[0].content_type in _TEXTS or parts[0].says_multipart else next(likely, 0)


def _without_blanks(parts: list[Part]) -> list[Part]:
    """Apple Mail closes with an empty part after each attachment: nothing that anyone wrote."""
    return [part for part in parts if not _is_blank(part)] if len(parts) > 1 else parts


def _is_unread(part: Part) -> bool:
    """Whether it says what other parts say; with a name it is a file beside them."""
    return part.content_type in _UNREAD_ALTERNATIVES and disposition(part) != "attachment" and not stated_filename(part)


def disposition(part: Part) -> str:
    """RFC 2183: "attachment", "inline" or another word, lower case; "" when none is stated."""
    stated = part.get("content-disposition")
    stated = charsets.decode_words(stated) if stated.startswith("=?") else stated
    stated = stated.split(";")[0].strip(' \t\r\n"').lower()
    word = re.split(r"[\s,(]", stated, maxsplit=1)[0]
    return "" if "=" in word else word


def _may_stand_for_body(part: Part) -> bool:
    is_text = part.content_type.startswith("text/") and part.content_type not in _TEXT_FILES
    return is_text and disposition(part) != "attachment"


def _is_blank(part: Part) -> bool:
    if part.content_type not in _TEXTS or len(part.encoded) > 2000:
        return False
    octets = part.octets()[0]
    return b"<img" not in octets.lower() and not re.sub(rb"<[^<>]*>|&nbsp;|\s", b"", octets)


def stated_filename(part: Part) -> str:
    """RFC 2183 section 2.3, and the older `name` of the type; each in the other's field and as `file`, too."""
    stated = part.parameter("content-disposition", "filename") or part.parameter("content-type", "name")
    stated = stated or next(filter(None, (part.parameter(*where) for where in _OTHER_NAMES)), "")
    return stated or next(filter(None, map(_filename_in, part.others("content-disposition"))), "")


def _filename_in(field: str) -> str:
    return parameters.parameters(field[: mime_tree.MAX_MIME_HEADER]).get("filename", "")


def content_id_of(part: Part) -> str:
    """RFC 2392: without its angle brackets, "" when there is none."""
    stated = charsets.unfold(part.get("content-id"))
    return stated.removeprefix("<").removesuffix(">").strip()[:998]
