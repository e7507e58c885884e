"""Rows of resources that are asked for by their path, as dataclasses. Times are as the site sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Draft:
    """A draft in the list /drafts; /drafts/{id} has its `body_text` as well. `files`: id, filename, size and others."""

    id: int
    version: int
    account_id: int | None
    sender: str
    to: str
    cc: str
    bcc: str
    subject: str
    text_format: str
    send_at: str
    start: str
    files: Sequence[dict[str, Any]]
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class SavedReply:
    """A text that a team uses often. `account_id`: None for one of all accounts."""

    id: int
    name: str
    text: str
    account_id: int | None
    changed_by: str | None
    changed_at: str


@dataclass(frozen=True)
class Webhook:
    """A webhook for events. `kinds`: empty for all. `account_ids`: None for all accounts."""

    id: int
    name: str
    host: str
    kinds: Sequence[str]
    account_ids: Sequence[int] | None
    is_on: bool
    created_at: str


@dataclass(frozen=True)
class AlertRule:
    """Who is told of what needs a person. `channel`: mail or webhook. `host`: of the webhook's URL."""

    id: int
    channel: str
    user_id: int | None
    address: str
    sender_id: int | None
    host: str
    account_id: int | None
    kinds: Sequence[str]
    is_on: bool
    created_at: str


@dataclass(frozen=True)
class Person:
    """A user. `role`: for all accounts, "" for none. `for_some`: the number of accounts with a role of their own."""

    id: int
    username: str
    email: str
    full_name: str
    role: str
    for_some: int
    is_active: bool
    is_superuser: bool
    is_invited: bool
    has_factor: bool


@dataclass(frozen=True)
class Token:
    """A token of a program, without the token itself. `account_ids`: None for all that its user may use."""

    id: int
    user_id: int
    username: str
    name: str
    scopes: Sequence[str]
    account_ids: Sequence[int] | None
    networks: Sequence[str]
    per_minute: int
    created_at: str
    expires_at: str


@dataclass(frozen=True)
class ListedAttachment:
    """A file of a received mail (`message_id`) or of a written one (`outbox_id`). `digest`: SHA-256 of its bytes."""

    message_id: int | None
    outbox_id: int | None
    account_id: int
    position: int
    filename: str
    content_type: str
    size: int
    digest: str
    at: str
    subject: str


@dataclass(frozen=True)
class ConversationPiece:
    """A mail of a conversation: received (`id`), or written here (`outbox_id`). `text`: its beginning."""

    id: int | None
    outbox_id: int | None
    at: str
    sender: str
    subject: str
    text: str
    message_id: str
