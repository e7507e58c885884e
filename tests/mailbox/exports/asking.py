"""What the tests of exports share: an account with mail, an export of it, and workers that are done with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from mailbox.exports import requests
from mailbox.exports.selection import Selection
from mailbox.models import Account, Export, Message
from mailbox.tasks.exports import export_slice
from tests.rows import letter, store

NOW = timezone.now().replace(microsecond=0)
QUOTED = "Dear Bob\nFrom here on\n>From there on\nFrom\n"


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("operator")


def mails(account: Account, number: int = 3) -> list[Message]:
    """Of several seconds, with CRLF as they come by IMAP, and lines that begin as an mbox separates mails."""
    return [
        store(account, letter(f"Mail {each}", QUOTED).replace(b"\n", b"\r\n"), at=NOW - timedelta(hours=each))
        for each in range(number)
    ]


def asked(user: User, query: str = "", form: str = "zip") -> Export:
    return requests.begin(Selection.of(query), form, user, uuid.uuid4(), NOW)


def made(export: Export) -> bytes:
    """The file, once workers have made it."""
    while Export.objects.unfinished().filter(pk=export.pk, error="").exists():
        export_slice(export.pk)
    export.refresh_from_db()
    content = b"".join(requests.pieces(export))
    assert export.size == len(content)
    return content
