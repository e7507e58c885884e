"""Lists of received messages, with the order, the grouping and the filters of the page; and conversations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from django.db.models import Q
from django.db.models.functions import Left
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from ninja import Path, Query, Router, Schema
from pydantic import Field

from api.v1.protocol.access import FAILURES, caller_of, readable_accounts, seen
from api.v1.protocol.answers import RECIPIENTS_IN_LISTS, Answer, Asked, Limit, MessageHead, Number, Page
from mailbox import features
from mailbox.messages.conversations import ConversationMessage
from mailbox.models import Feature, Folder, Message
from mailbox.models.team_marks import TeamFilter, team_filter
from mailbox.views.pagination import Cursor
from mailbox.views.reading.conversation import conversation_of
from mailbox.views.reading.messages import rows_of_accounts, rows_of_folder
from mailbox.views.requests import Refused

router = Router(tags=["mail"])


class MessageQuery(Asked):
    """What is listed, and how. `folder`: the id of one folder. By conversation, each is listed once, as its newest
    message."""

    account: Number | None = None
    folder: Number | None = None
    team: TeamFilter | None = Field(default=None, description="By the notes of the team; mine: of the token's user.")
    by: Literal["message", "conversation"] = "message"
    order: Literal["newest", "oldest"] = "newest"

    def marked(self, request: HttpRequest, message: str = "pk") -> Q:
        """The condition of the team's filter. message: the lookup of the message's pk in the filtered rows."""
        return team_filter(self.team.value, caller_of(request).token.user, message) if self.team else Q()


class ConversationPiece(Schema):
    """A mail of a conversation: a received message (`id`), or one that was written here (`outbox_id`)."""

    id: int | None
    outbox_id: int | None
    at: datetime
    sender: str
    subject: str
    text: str = Field(description="Its beginning.")
    message_id: str = Field(description="Without angle brackets.")

    @classmethod
    def of(cls, piece: ConversationMessage) -> ConversationPiece:
        own = {name: getattr(piece, name) for name in ("at", "sender", "subject", "text", "message_id")}
        return cls(id=piece.pk or None, outbox_id=piece.outbox_pk or None, **own)


class Conversation(Schema):
    """The mails of a conversation, oldest first. `is_cut`: there are more, older ones."""

    items: list[ConversationPiece]
    is_cut: bool


@router.get("/messages", response={200: Answer[Page[MessageHead]], **FAILURES}, operation_id="list_messages")
def list_messages(
    request: HttpRequest, asked: Query[MessageQuery], limit: Limit = 50, before: str = ""
) -> Answer[Page[MessageHead]]:
    """Received messages, newest first unless `order` says otherwise; `before` is the `next` of the previous page."""
    grouped, oldest, cursor = asked.by == "conversation", asked.order == "oldest", Cursor.read(before)
    if grouped and oldest:
        raise Refused(gettext("Conversations are listed by their newest mail, the newest first."))
    if asked.folder is None:
        accounts = readable_accounts(request, asked.account)
        rows, following = rows_of_accounts(
            accounts, cursor, limit, asked.marked(request), grouped=grouped, oldest=oldest
        )
    else:
        folder = _folder(request, asked.account, asked.folder)
        marked = asked.marked(request, "message_id")
        rows, following = rows_of_folder(folder, cursor, limit, marked, grouped=grouped, oldest=oldest)
    return Answer(data=Page(items=heads_of(rows), next=str(following) if following else None))


def _folder(request: HttpRequest, account: int | None, pk: int) -> Folder:
    found = get_object_or_404(Folder, pk=pk, account__in=seen(request))
    if account not in (None, found.account_id):
        raise Http404
    readable_accounts(request, found.account_id)
    return found


def heads_of(rows: Sequence[Message]) -> list[MessageHead]:
    """The rows of a list, with what lists do not load of them: by one query, not two for each row.

    Of the recipients only the first: 500 mails to all the world have 200 MB of them.
    """
    keys, longest = [row.pk for row in rows], RECIPIENTS_IN_LISTS + 1
    beginnings = Message.objects.filter(pk__in=keys).values_list("pk", Left("recipients", longest), Left("cc", longest))
    known = {pk: more for pk, *more in beginnings}
    for row in rows:
        found = known.get(row.pk, ["", ""])  # none: erased meanwhile
        row.recipients, row.cc = map(_first_addresses, found)
        row.recipients_are_cut = [row.recipients, row.cc] != found  # type: ignore[attr-defined]
    return [MessageHead.of(row) for row in rows]


def _first_addresses(text: str) -> str:
    """The text, cut behind an address if it is too long for a list."""
    return text if len(text) <= RECIPIENTS_IN_LISTS else text[:RECIPIENTS_IN_LISTS].rpartition(",")[0]


@router.get(
    "/messages/{pk}/conversation", response={200: Answer[Conversation], **FAILURES}, operation_id="get_conversation"
)
def get_conversation(request: HttpRequest, pk: Path[Number]) -> Answer[Conversation]:
    """The conversation of a message as its page shows it: received and written mails, at most 50 of each, oldest
    first."""
    rows = Message.objects.select_related("account").defer("attached_text")
    message = get_object_or_404(rows, pk=pk, account__in=seen(request))
    features.demand(Feature.INBOX_READ, message.account)
    found = conversation_of(message)
    return Answer(data=Conversation(items=[ConversationPiece.of(each) for each in found.pieces], is_cut=found.is_cut))
