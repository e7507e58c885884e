"""Stored mail as an older parser read it."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command

from mailbox.models import Message
from mailbox.search.index import index_messages


def read_wrongly(*messages: Message, version: int | None = None) -> None:
    """As an older parser left them: no subject, no text, no attachment, and such words in the index."""
    for message in messages:
        Message.objects.filter(pk=message.pk).update(
            subject="wrong", body_text="wrong", snippet="wrong", attachments=[], parser_version=version
        )
        message.attachment_rows.all().delete()
        message.refresh_from_db()
    index_messages(messages)


def run(*options: str) -> str:
    out = StringIO()
    call_command("reparse", *options, stdout=out)
    return out.getvalue()
