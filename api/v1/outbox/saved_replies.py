"""Saved replies: texts that a team uses often, as on their pages."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, account_of, caller_of
from api.v1.protocol.answers import Answer, Asked, Number, Text, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.views.requests import Refused
from outbox.compose import saved_replies
from outbox.compose.senders import sender_of
from outbox.errors import OutboxError
from outbox.models import SavedReply
from outbox.views.writing.saved_replies import remove_reply, reply_form, save_reply

router = Router(tags=["sending"])


class SavedReplyGiven(Asked):
    """A saved reply as it is to be. `text` may have the fields {{recipient name}}, {{sender name}}, {{subject}}."""

    name: Text
    text: Text
    account_id: Number | None = Field(None, description="null: for all accounts.")


class SavedReplyState(Schema):
    """A saved reply. `changed_by`: a user name."""

    id: int
    name: str
    text: str
    account_id: int | None
    changed_by: str | None
    changed_at: datetime

    @classmethod
    def of(cls, row: SavedReply) -> SavedReplyState:
        by = row.changed_by.get_username() if row.changed_by else None
        return cls(**columns(cls, row) | {"changed_by": by})


class Filling(Asked):
    """The mail into which the text goes. `sender`: one of the account's addresses; empty: its own."""

    account_id: Number
    sender: Text = Field("", alias="from")
    to: Text = ""
    subject: Text = ""


class Filled(Schema):
    """The text with its fields replaced."""

    text: str


STATE = {200: Answer[SavedReplyState], **FAILURES}


def _usable(request: HttpRequest) -> QuerySet[SavedReply]:
    """The saved replies of accounts that the token may send from, and, if there are any, those for all accounts."""
    accounts = caller_of(request).accounts(Scope.SEND)
    rows = SavedReply.objects.select_related("changed_by")
    own = Q(account__in=accounts)
    return rows.filter(own | Q(account=None) if accounts.exists() else own)


def _changeable(request: HttpRequest, pk: int) -> SavedReply:
    """The saved reply. Raises Http404; TokenRefused for one of all accounts without a token and a role for all."""
    reply = get_object_or_404(SavedReply.objects.select_related("account"), pk=pk)
    _demand(request, reply.account_id)
    return reply


def _demand(request: HttpRequest, account_id: int | None) -> None:
    if account_id is None:
        caller_of(request).demand_everywhere(Scope.OPERATE)
    else:
        account_of(request, account_id, Scope.OPERATE)


def _saved(request: HttpRequest, reply: SavedReply, given: SavedReplyGiven, verb: str) -> Answer[SavedReplyState]:
    _demand(request, given.account_id)
    data = {"name": given.name, "text": given.text, "account": given.account_id}
    form = reply_form(caller_of(request).token.user, reply, data)
    if not form.is_valid():
        raise Refused(" ".join(str(each) for errors in form.errors.values() for each in errors))
    return Answer(data=SavedReplyState.of(save_reply(request, form, verb)))


def _unchanged(request: HttpRequest, pk: int) -> AbstractContextManager[None]:
    def read() -> Answer[SavedReplyState]:
        return Answer(data=SavedReplyState.of(get_object_or_404(SavedReply, pk=pk)))

    return unchanged(request, SavedReply.objects.filter(pk=pk), read)


@router.get(
    "/saved-replies", response={200: Answer[list[SavedReplyState]], **FAILURES}, operation_id="list_saved_replies"
)
def list_saved_replies(request: HttpRequest) -> Answer[list[SavedReplyState]]:
    """The saved replies of accounts that the token may send from, sorted by name; the site has at most 200."""
    return Answer(data=[SavedReplyState.of(row) for row in _usable(request)])


@router.post("/saved-replies", response={201: Answer[SavedReplyState], **FAILURES}, operation_id="add_saved_reply")
def add_saved_reply(
    request: HttpRequest, given: SavedReplyGiven, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[SavedReplyState]] | HttpResponse:
    """Add a saved reply. One for all accounts needs a token and a role for all."""
    return once(request, idempotency_key, lambda: Status(201, _saved(request, SavedReply(), given, "add_saved_reply")))


@router.get("/saved-replies/{pk}", response=STATE, operation_id="get_saved_reply")
def get_saved_reply(request: HttpRequest, pk: Path[Number]) -> Answer[SavedReplyState]:
    """One saved reply. Its ETag is for If-Match."""
    return Answer(data=SavedReplyState.of(get_object_or_404(_usable(request), pk=pk)))


@router.put("/saved-replies/{pk}", response=STATE, operation_id="change_saved_reply", openapi_extra=IF_MATCH)
def change_saved_reply(request: HttpRequest, pk: Path[Number], given: SavedReplyGiven) -> Answer[SavedReplyState]:
    """Replace a saved reply. Heeds If-Match."""
    _changeable(request, pk)  # first, as 412 would say that there is one
    with _unchanged(request, pk):
        return _saved(request, _changeable(request, pk), given, "edit_saved_reply")


@router.delete(
    "/saved-replies/{pk}",
    response={200: Answer[None], **FAILURES},
    operation_id="remove_saved_reply",
    openapi_extra=IF_MATCH,
)
def remove_saved_reply(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Remove a saved reply. Mail that was written with it stays. Heeds If-Match."""
    reply = _changeable(request, pk)
    with _unchanged(request, pk):
        remove_reply(request, reply)
    return Answer(data=None)


@router.post("/saved-replies/{pk}/fill", response={200: Answer[Filled], **FAILURES}, operation_id="fill_saved_reply")
def fill_saved_reply(request: HttpRequest, pk: Path[Number], given: Filling) -> Answer[Filled]:
    """The text of a saved reply for one mail, with its fields replaced. Nothing is changed."""
    request.changed_nothing = True  # type: ignore[attr-defined]
    reply, account = get_object_or_404(_usable(request), pk=pk), account_of(request, given.account_id, Scope.SEND)
    try:
        sender = sender_of(account, given.sender)
    except OutboxError as error:
        raise Refused(str(error)) from error
    values = saved_replies.values_of(given.to, sender.name or sender.address, given.subject)
    return Answer(data=Filled(text=saved_replies.fill(reply.text, values)))
