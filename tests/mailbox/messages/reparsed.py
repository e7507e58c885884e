"""Stored mail as an older parser read it."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command

from mailbox.models import Account, Message
from mailbox.search.index import index_messages
from tests.rows import NOWHERE


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


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
