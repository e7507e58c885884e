"""Mail written in Markdown: it is sent as typed (text/plain) and as HTML that shows its pictures. Pure.

A picture is an attachment that the text names: ![The plan](plan.png).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from outbox.compose.attachments import AttachmentInput
from outbox.compose.formatted_text import PICTURE_TYPES, clean, content_id, id_of


def written(text: str, files: Sequence[AttachmentInput]) -> tuple[str, list[AttachmentInput]]:
    """The HTML of a Markdown text, and the files, with a content id for each picture that the text shows."""
    pictures = {file.filename: content_id(file) for file in files if file.content_type in PICTURE_TYPES}
    named = set(_pictures_named(_with_blanks(text, pictures)))
    with_ids = [
        replace(file, content_id=pictures.get(file.filename, "") if file.filename in named else "") for file in files
    ]
    return html_of(text, pictures), with_ids


def _with_blanks(text: str, names: Iterable[str]) -> str:
    """Put angle brackets around names with blanks, which CommonMark requires and few writers know."""
    for name in names:
        if " " in name:
            text = text.replace(f"]({name})", f"](<{name}>)")
    return text


def is_made_of(html: str, text: str, files: Iterable[tuple[str, str]]) -> bool:
    """Whether `html` was made of this text. files: (name, SHA-256) of each attachment."""
    return bool(html) and html == html_of(text, {name: id_of(digest) for name, digest in files})


def html_of(text: str, pictures: Mapping[str, str] | None = None) -> str:
    """Sanitised HTML of a Markdown text: CommonMark with tables; line breaks are kept; HTML in the text is escaped.

    pictures: file name -> content id. Other pictures are replaced by their alternative text, so that the HTML refers
    to no remote picture.
    """
    tokens = _reader().parse(_with_blanks(text, pictures or {}))
    for token in _images(tokens):
        _show_picture(token, pictures or {})
    html = _reader().renderer.render(tokens, _reader().options, {})
    return clean(html, set((pictures or {}).values()))


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20})
    return reader.enable(["table", "strikethrough"])


def _images(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type == "image":
            yield token
        yield from _images(token.children or ())


def _pictures_named(text: str) -> list[str]:
    return [unquote(str(token.attrGet("src"))) for token in _images(_reader().parse(text))]


def _show_picture(token: Token, pictures: Mapping[str, str]) -> None:
    """Make a picture refer to the attachment that it names (cid:), or replace it by its alternative text."""
    name = unquote(str(token.attrGet("src")))
    if name in pictures:
        token.attrSet("src", f"cid:{pictures[name]}")
    else:
        token.type, token.tag, token.content, token.children = "text", "", token.content or name, None
