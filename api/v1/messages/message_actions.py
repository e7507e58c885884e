"""Actions on a received message: its team marks, and fetching the whole of it."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.v1.messages.mail import operated_message, readable
from api.v1.protocol.access import FAILURES, seen
from api.v1.protocol.answers import Answer, Asked, Number, Text
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict
from mailbox.models import Message, TeamMark
from mailbox.views.quarantine import ask_for_whole
from mailbox.views.reading.team_marks import TeamMarkForm, save_team_mark
from mailbox.views.requests import Refused

router = Router(tags=["mail"])


class TeamState(Schema):
    """What the team notes about a message. Nothing of it is written to the mail server."""

    assigned_to: str | None = Field(description="A user name.")
    note: str
    done_at: datetime | None
    changed_at: datetime | None

    @classmethod
    def of(cls, mark: TeamMark | None) -> TeamState:
        if mark is None:
            return cls(assigned_to=None, note="", done_at=None, changed_at=None)
        name = mark.assigned_to.get_username() if mark.assigned_to else None
        return cls(assigned_to=name, note=mark.note, done_at=mark.done_at, changed_at=mark.changed_at)


class TeamChange(Asked):
    """The notes as they are to be: absent members become empty."""

    assigned_to: Text | None = Field(default=None, description="A user name; null: nobody.")
    note: Text = ""
    done: bool = False


TEAM = {200: Answer[TeamState], **FAILURES}


def _read(pk: int) -> Answer[TeamState]:
    return Answer(data=TeamState.of(TeamMark.objects.select_related("assigned_to").filter(pk=pk).first()))


@router.get("/messages/{pk}/team", response=TEAM, operation_id="get_team_marks")
def get_team_marks(request: HttpRequest, pk: Path[Number]) -> Answer[TeamState]:
    """What the team notes about the message. Its ETag is for If-Match."""
    rows = Message.objects.only("pk", "account__email").select_related("account")
    readable(get_object_or_404(rows, pk=pk, account__in=seen(request)))
    return _read(pk)


@router.put("/messages/{pk}/team", response=TEAM, operation_id="change_team_marks", openapi_extra=IF_MATCH)
def change_team_marks(request: HttpRequest, pk: Path[Number], given: TeamChange) -> Answer[TeamState]:
    """Set who takes care of the message, a note, and whether it is done. Heeds If-Match."""
    message = operated_message(request, pk)
    with unchanged(request, Message.objects.filter(pk=pk), lambda: _read(pk)):
        mark = TeamMark.objects.filter(pk=pk).first() or TeamMark(message=message)
        form = TeamMarkForm({"note": given.note, "done": given.done, "assigned_to": _pk_of(mark, given)}, mark=mark)
        if not form.is_valid():
            raise Refused(" ".join(str(each) for errors in form.errors.values() for each in errors))
        save_team_mark(request, message, mark, form.cleaned_data)
        return _read(pk)


def _pk_of(mark: TeamMark, given: TeamChange) -> int | None:
    """The pk of the user to whom the message is to be assigned, or None. Raises Refused."""
    if given.assigned_to is None:
        return None
    people = TeamMarkForm(mark=mark).fields["assigned_to"].queryset  # type: ignore[attr-defined]
    found = people.filter(username=given.assigned_to).values_list("pk", flat=True).first()
    if found is None:
        raise Refused(gettext("assigned_to: nobody of this name may see the message."))
    return int(found)


@router.post("/messages/{pk}/fetch", response={202: Answer[None], **FAILURES}, operation_id="fetch_message")
def fetch_message(request: HttpRequest, pk: Path[Number]) -> Status[Answer[None]]:
    """Have a worker fetch the whole of a message that was too large before, or whose stored bytes cannot be read."""
    if refusal := ask_for_whole(request, operated_message(request, pk)):
        raise Conflict(refusal)
    return Status(202, Answer(data=None))
