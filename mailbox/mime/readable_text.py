"""What a person reads of a message: one answer for the page, the search index, the snippet and the reply. Pure.

`readable` is what is read as text (shown, quoted), `searched` what is found: that, the words that only the HTML has,
and the text of messages attached to it.
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
_PICTURE = "attachment."  # in place of a content id, where a picture has none: with its position


class Body(Protocol):
    """A stored message has it, and one that has just been parsed."""

    @property
    def body_text(self) -> str: ...
    @property
    def body_html(self) -> str: ...


class SearchedBody(Body, Protocol):
    @property
    def attached_text(self) -> str: ...


def readable(mail: Body, limit: int = QUOTED_CHARACTERS) -> str:
    """The body as text, for a person and for a quote: its text, or the words of its HTML in their lines."""
    return mail.body_text[:limit] if mail.body_text.strip() else html_text.html_lines(mail.body_html, limit)


def searched(mail: SearchedBody) -> str:
    """All text of a message by which it is found: its body, words that stand in its HTML only, attached messages."""
    text = mail.body_text
    words = html_text.html_words(mail.body_html, SEARCHED_HTML_CHARACTERS) if mail.body_html else ""
    if words and text.strip():
        others = dict.fromkeys(words.split())
        for word in text.split():
            others.pop(word, None)
        words = " ".join(others)
    return "\n".join(filter(None, (text, words, mail.attached_text)))


def snippet(body_text: str, body_html: str) -> str:
    """The beginning of what is read, in one line."""
    for share in (2, 40):  # nearly always the first is enough
        collapsed = " ".join(body_text[: SNIPPET_CHARACTERS * share].split())
        if len(collapsed) > SNIPPET_CHARACTERS:
            break
    return collapsed[:SNIPPET_CHARACTERS] if collapsed else html_text.html_words(body_html, SNIPPET_CHARACTERS)


def joined_text(pieces: Iterable[tuple[Part, str]]) -> str:
    """One text of the text parts, in their order; an HTML part among them by its words. HTML alone is no text."""
    found = [(part, text) for part, text in pieces if part.content_type.startswith("text/")]
    if len(found) == 1 and found[0][0].content_type != "text/html":
        return found[0][1]  # as it is, to the last blank line
    if all(part.content_type == "text/html" for part, _ in found):
        return ""
    texts = [
        html_text.html_lines(text, QUOTED_CHARACTERS) if part.content_type == "text/html" else text
        for part, text in found
    ]
    return "\n".join(text.rstrip("\n") + "\n" for text in texts if text.strip())


def joined_html(pieces: Sequence[tuple[Part, str]], attachments: Sequence[Part]) -> str:
    """One HTML body of the parts, in their order; "" when plain text says it all: no HTML, no picture between texts."""
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
        if not (content_id_of(part) and f"cid:{content_id_of(part)}" in stated)  # shown where the HTML says
    }
    return "\n".join(filter(None, (_as_html(part, text, positions) for part, text in pieces)))


def _has_picture_between(kinds: Sequence[str]) -> bool:
    """Whether a text stands behind a picture: below the text, the list of attachments shows it as well."""
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
    """What stands for the content id of a picture without one, at this position of the attachments."""
    return f"{_PICTURE}{position}"
