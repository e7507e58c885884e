"""Mail to search in, as sync stores it, and somebody who may see all of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from mailbox.models import Account, Folder, Message, MessagePlace
from mailbox.search.index import index_messages
from mailbox.search.results import search

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVERS = {"imap_host": "imap.test", "imap_port": 993, "smtp_host": "smtp.test", "smtp_port": 465}
_numbers = itertools.count(1)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("support@example.test", display_name="Help desk", **SERVERS)


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    """Sees all accounts."""
    return make_user("viewer")


def store(account: Account, subject: str = "", body: str = "", **fields: Any) -> Message:
    """A message in INBOX as sync stores it: row, place and index in one transaction."""
    folder_name = fields.pop("folder", "INBOX")
    number = next(_numbers)
    defaults: dict[str, Any] = {"sender": "Ann <ann@example.com>", "recipients": "me@example.test"}
    defaults |= {"message_id": f"<{number}@x>", "raw_digest": "0" * 64, "received_at": NOON, "size": 2_000}
    with transaction.atomic():
        message = Message.objects.create(account=account, subject=subject, body_text=body, **(defaults | fields))
        folder, _ = Folder.objects.get_or_create(account=account, name=folder_name, defaults={"delimiter": "/"})
        MessagePlace.objects.create(
            message=message,
            folder=folder,
            uidvalidity=1,
            uid=number,
            size=message.size,
            received_at=message.received_at,
            raw_digest=message.raw_digest,
            header_digest="0" * 64,
        )
        index_messages([message])
    return message


def subjects(user: User, query: str, **options: Any) -> list[str]:
    page = search(user, query, **options)
    assert page.problems == ()
    return [row.subject for row in page.rows]
