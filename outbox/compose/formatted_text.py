"""HTML that a person wrote, made safe to send: known elements only, no picture from afar, each paragraph's direction.

The page's editor writes it, and a Markdown text becomes it. What a page sends is never trusted. Pure.
A picture is an attachment that the HTML names by its content id: <img src="cid:...">.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import nh3

from mailbox.html.limits import bounded
from mailbox.html.sanitizer import UNSHOWN
from outbox.compose.attachments import AttachmentInput
from outbox.compose.plain_part import text_of

PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif"})
_BLOCKS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "table"})
_INLINES = frozenset({"br", "strong", "b", "em", "i", "u", "s", "del", "sub", "sup", "a", "img", "code"})
TAGS = _BLOCKS | _INLINES | {"hr", "li", "thead", "tbody", "tr", "th", "td"}
_ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto", "tel", "cid"}
_VOID = frozenset({"br", "hr", "img"})
MAX_DEPTH = 20  # of quoted text that is made HTML


def clean(html: str, shown: Collection[str] = ()) -> str:
    """The HTML as it is sent. shown: content ids of the pictures that it may show.

    Other pictures, remote ones too, are replaced by their alternative text. Cleaning it again changes nothing.
    """
    known = nh3.clean(
        bounded(html, TAGS, UNSHOWN),
        tags=set(TAGS),
        clean_content_tags=set(UNSHOWN),
        attributes=_ATTRIBUTES,
        attribute_filter=_known_value,
        url_schemes=_SCHEMES,
        url_relative="deny",
        link_rel=None,
    )
    tidy = _Tidy(shown)
    tidy.feed(known)
    tidy.close()
    return "".join(tidy.written)


def written(html: str, files: Sequence[AttachmentInput]) -> tuple[str, str, list[AttachmentInput]]:
    """Text and HTML of a mail, and its files: those pictures that the HTML shows have a content id."""
    pictures = {content_id(file) for file in files if file.content_type in PICTURE_TYPES}
    sent = clean(html, pictures)
    named = {each for each in pictures if f'src="cid:{each}"' in sent}
    return text_of(sent), sent, [replace(file, content_id=_taken(file, named)) for file in files]


def _taken(file: AttachmentInput, named: set[str]) -> str:
    """The content id of a picture in `named`, once; of a second copy of its bytes none, as it must be unique."""
    own = content_id(file) if file.content_type in PICTURE_TYPES else ""
    if own not in named:
        return ""
    named.remove(own)
    return own


def is_made_of(html: str, text: str, digests: Iterable[str]) -> bool:
    """Whether a mail was written in the editor, so that it can be gone on with there. digests: of its attachments."""
    return bool(html) and clean(html, {id_of(digest) for digest in digests}) == html and text_of(html) == text


def content_id(file: AttachmentInput) -> str:
    """The content id under which the HTML shows this file, if it is a picture; without angle brackets (RFC 2392)."""
    return id_of(hashlib.sha256(file.content or b"").hexdigest())


def id_of(digest: str) -> str:
    """A content id from the file's digest: unique (RFC 2045 7), and equal when the same mail is written twice."""
    return f"{digest[:40]}@inline.invalid"


def _known_value(tag: str, name: str, value: str) -> str | None:
    is_picture = value.startswith("cid:")
    if name == "src":
        return value if is_picture else None
    return None if name == "href" and is_picture else value


class _Tidy(HTMLParser):
    """Rewrites sanitised HTML: pictures that are not sent become words, an empty paragraph keeps its height, and the
    direction of each outermost block follows its first letter (dir="auto")."""

    def __init__(self, shown: Collection[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.written: list[str] = []
        self._shown = shown
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = [(name, value or "") for name, value in attrs]
        if tag == "img":
            self._picture(dict(given))
            return
        if tag in _BLOCKS and not self._depth:
            given.append(("dir", "auto"))
        self._depth += tag not in _VOID
        self._open(tag, given)

    def _picture(self, given: dict[str, str]) -> None:
        source, words = given.get("src", ""), given.get("alt", "")
        if source.removeprefix("cid:") in self._shown:
            self._open("img", [("src", source), ("alt", words), ("style", "max-width:100%")])
        else:
            self.handle_data(words)

    def _open(self, tag: str, given: list[tuple[str, str]]) -> None:
        attributes = "".join(f' {name}="{escape(value)}"' for name, value in given)
        self.written.append(f"<{tag}{attributes}>")

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self.written[-1].startswith("<p"):
            self.written.append("<br>")
        self._depth -= 1
        self.written.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if data:
            self.written.append(escape(data, quote=False))


_QUOTED = re.compile(r">[ ]?")
_WIDE = re.compile(r"^ |(?<= ) ")


def html_of(text: str, depth: int = 0) -> str:
    """HTML of a plain text: paragraphs, line breaks, and quoted lines (>) as blockquotes."""
    lines = text.replace("\r\n", "\n").rstrip().split("\n") if text.strip() else []
    pieces: list[str] = []
    paragraph: list[str] = []
    empty = 0  # lines since the last paragraph; one separates two, each further one is an empty paragraph
    at = 0

    def end_paragraph() -> None:
        if paragraph:
            pieces.append(f"<p>{'<br>'.join(map(_shown, paragraph))}</p>")
            paragraph.clear()

    while at < len(lines):
        line = lines[at]
        if not line.strip():
            end_paragraph()
            empty += 1
            at += 1
            continue
        pieces.extend(["<p></p>"] * (empty - 1))
        empty = 0
        if line.startswith(">") and depth < MAX_DEPTH:
            end_paragraph()
            start = at
            while at < len(lines) and lines[at].startswith(">"):
                at += 1
            within = "\n".join(_QUOTED.sub("", each, count=1) for each in lines[start:at])
            pieces.append(f"<blockquote>{html_of(within, depth + 1) or '<p></p>'}</blockquote>")
            continue
        paragraph.append(line)
        at += 1
    end_paragraph()
    return "".join(pieces)


def _shown(line: str) -> str:
    """A line of text as HTML; spaces that HTML would swallow do not break."""
    return escape(_WIDE.sub("\u00a0", line.rstrip()), quote=False)
