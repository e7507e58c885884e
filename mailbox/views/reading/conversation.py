"""The conversation of a message: received and sent mails, ordered by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Substr
from django.urls import reverse
from django.utils.translation import gettext

from mailbox.messages import conversations
from mailbox.messages.conversations import ConversationMessage
from mailbox.models import Message
from mailbox.models.messages import UNLISTED
from mailbox.signals import conversation_asked

SHOWN = 50
TEXT_CHARACTERS = 1_500


@dataclass(frozen=True)
class ShownConversation:
    """`pieces`: oldest first, at most SHOWN received ones. `newest`: the newest message if it is another one."""

    pieces: list[ConversationMessage]
    newest: ConversationMessage | None
    is_cut: bool


def conversation_of(message: Message) -> ShownConversation:
    """The conversation of the message; two queries besides those of the signal's receivers, however long it is."""
    rows = conversations.members(message).defer(*(name for name in UNLISTED if name != "references_header"))
    beginning = Substr("body_text", 1, TEXT_CHARACTERS, output_field=TextField())
    members: list[Any] = list(rows.annotate(beginning=beginning)[: SHOWN + 1])
    is_cut = len(members) > SHOWN
    members = members[:SHOWN]
    found = [_piece(row) for row in members]
    if message.pk not in {piece.pk for piece in found}:  # gone from the server, or older than the newest SHOWN
        message.beginning = ""  # type: ignore[attr-defined]
        members.append(message)
        found.append(_piece(message))
    received = {piece.message_id for piece in found}
    found += [piece for piece in _written(message.account_id, members) if piece.message_id not in received]
    found.sort(key=lambda piece: (piece.at, piece.pk))
    newest = found[-1] if found[-1].pk != message.pk else None
    return ShownConversation(found, newest, is_cut)


def _piece(row: Any) -> ConversationMessage:
    return ConversationMessage(
        at=row.received_at,
        sender=row.sender or gettext("(no sender)"),
        subject=row.subject,
        text=row.beginning.strip() or row.snippet,
        address=reverse("mailbox:message", args=[row.pk]),
        pk=row.pk,
        message_id=row.message_id.strip("<> "),
    )


def _written(account_id: int, members: Sequence[Message]) -> list[ConversationMessage]:
    ids = {row.message_id.strip("<> ") for row in members}
    for row in members:
        ids.update(conversations.references_of(row.references_header, row.in_reply_to))
    answers: list[tuple[Any, Any]] = conversation_asked.send(
        sender=Message, account_id=account_id, pks=[row.pk for row in members], message_ids=ids
    )
    return [piece for _, pieces in answers for piece in pieces]
