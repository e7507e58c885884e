"""The body of a message as plain text, the same for page, search index, snippet and reply. Pure.

`readable` is the text to display and to quote. `searched` is the text to index: the body's text, words that only the
HTML has, and the text of attached messages.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Protocol

from mailbox.mime import charsets, html_text
from mailbox.mime.body_parts import content_id_of, stated_filename
from mailbox.mime.tree import Part

SNIPPET_CHARACTERS = 120
SEARCHED_HTML_CHARACTERS = 200_000
QUOTED_CHARACTERS = 200_000
_PICTURE = "attachment."  # with the position behind it: stands for the content id of an image without one


class Body(Protocol):
    """The bodies of a stored message or of a ParsedMessage."""

    @property
    def body_text(self) -> str: ...
    @property
    def body_html(self) -> str: ...


class SearchedBody(Body, Protocol):
    """A Body with the text of its attached messages, which is searched and not displayed."""

    @property
    def attached_text(self) -> str: ...


def readable(mail: Body, limit: int = QUOTED_CHARACTERS) -> str:
    """The body as text, for display and quotes: its plain text, else the text of its HTML with line breaks."""
    return mail.body_text[:limit] if mail.body_text.strip() else html_text.html_lines(mail.body_html, limit)


def searched(mail: SearchedBody) -> str:
    """The text to index: the body's text, words that only its HTML has, and the text of attached messages."""
    text = mail.body_text
    words = html_text.html_words(mail.body_html, SEARCHED_HTML_CHARACTERS) if mail.body_html else ""
    if words and text.strip():
        others = dict.fromkeys(words.split())
        for word in text.split():
            others.pop(word, None)
        words = " ".join(others)
    return "\n".join(filter(None, (text, words, mail.attached_text)))


def snippet(body_text: str, body_html: str) -> str:
    """The beginning of the body's text, in one line."""
    for share in (2, 40):  # the first is enough, unless the text begins with much white space
        collapsed = " ".join(body_text[: SNIPPET_CHARACTERS * share].split())
        if len(collapsed) > SNIPPET_CHARACTERS:
            break
    return collapsed[:SNIPPET_CHARACTERS] if collapsed else html_text.html_words(body_html, SNIPPET_CHARACTERS)


def joined_text(pieces: Iterable[tuple[Part, str]]) -> str:
    """The text body: the text parts joined in their order, with HTML parts as text. "" if all of them are HTML."""
    found = [(part, text) for part, text in pieces if part.content_type.startswith("text/")]
    if len(found) == 1 and found[0][0].content_type != "text/html":
        return found[0][1]  # unchanged, with its blank lines at the end
    if all(part.content_type == "text/html" for part, _ in found):
        return ""
    texts = [
        html_text.html_lines(text, QUOTED_CHARACTERS) if part.content_type == "text/html" else text
        for part, text in found
    ]
    return "\n".join(text.rstrip("\n") + "\n" for text in texts if text.strip())


def joined_html(pieces: Sequence[tuple[Part, str]], attachments: Sequence[Part]) -> str:
    """The HTML body: the parts joined in their order. "" when it would add nothing to the text body: without HTML and
    without an image between texts."""
    kinds = [part.content_type for part, _ in pieces]
    if "text/html" not in kinds and not _has_picture_between(kinds):
        return ""
    is_one = kinds.count("text/html") == 1 and "text/plain" not in kinds
    if is_one and (kinds[0] == "text/html" or not any(kind.startswith("image/") for kind in kinds)):
        return next(text for part, text in pieces if part.content_type == "text/html")
    stated = "".join(text for part, text in pieces if part.content_type == "text/html")
    positions = {
        id(part): position
        for position, part in enumerate(attachments)
        if not (content_id_of(part) and f"cid:{content_id_of(part)}" in stated)  # the HTML displays it itself
    }
    return "\n".join(filter(None, (_as_html(part, text, positions) for part, text in pieces)))


def _has_picture_between(kinds: Sequence[str]) -> bool:
    """Whether a text follows an image. An image below all text needs no HTML body: the attachments display it."""
    pictures = [place for place, kind in enumerate(kinds) if kind.startswith("image/")]
    return bool(pictures) and any(kind.startswith("text/") for kind in kinds[pictures[0] :])


def _as_html(part: Part, text: str, positions: dict[int, int]) -> str:
    if part.content_type == "text/html":
        return text
    if not part.content_type.startswith("image/"):
        return f'<div style="white-space: pre-wrap">{html.escape(text)}</div>' if text.strip() else ""
    position = positions.get(id(part))
    if position is None:
        return ""
    name = html.escape(charsets.storable(stated_filename(part)[:200]))
    return f'<p><img src="cid:{picture_id(position)}" alt="{name}"></p>'


def picture_id(position: int) -> str:
    """The substitute for a content id, for an image at this position of the attachments."""
    return f"{_PICTURE}{position}"
