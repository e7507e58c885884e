"""The ways to write a text: as it is sent, as plain text, as our pages show it. Pure.

"": plain text; "html": in the page's editor; "markdown": without a script.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from outbox.compose import formatted_text, markdown_text
from outbox.compose.attachments import AttachmentInput
from outbox.compose.plain_part import text_of

HTML, MARKDOWN = "html", "markdown"


def as_sent(
    text_format: str, typed: str, files: Sequence[AttachmentInput]
) -> tuple[str, str, Sequence[AttachmentInput]]:
    """The text and the HTML of a mail, and its files, with a content id for each picture that the HTML shows."""
    if text_format == HTML:
        return formatted_text.written(typed, files)
    if text_format == MARKDOWN:
        html, with_ids = markdown_text.written(typed, files)
        return typed, html, with_ids
    return typed, "", files


def as_plain(text_format: str, typed: str) -> str:
    """The text as plain text; of pictures only the alternative text is left."""
    return text_of(formatted_text.clean(typed)) if text_format == HTML else typed


def as_formatted(text_format: str, typed: str) -> str:
    """HTML for the editor, of a text in any format."""
    if text_format == HTML:
        return formatted_text.clean(typed)
    return markdown_text.html_of(typed) if text_format == MARKDOWN else formatted_text.html_of(typed)


def preview(text_format: str, typed: str) -> SafeString:
    """HTML of a text for our own pages. Pictures have no URL there, so their alternative text is shown."""
    if not text_format:
        return format_html("<pre>{}</pre>", typed)
    return mark_safe(as_formatted(text_format, typed))  # noqa: S308 - sanitised


def format_of(html: str, text: str, files: Sequence[tuple[str, str]]) -> str:
    """The format in which a mail was written. files: (name, SHA-256) of each attachment."""
    if markdown_text.is_made_of(html, text, files):
        return MARKDOWN
    return HTML if formatted_text.is_made_of(html, text, [digest for _name, digest in files]) else ""
