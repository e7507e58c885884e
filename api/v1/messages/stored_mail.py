"""Parsing stored mail again, after the parser was improved. It concerns all accounts, as on its page."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Asked, Number, columns
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.messages import reparse
from mailbox.models import Reparse
from mailbox.views.reparse import ROUNDS_SHOWN, begin_round

router = Router(tags=["operation"])


class NewRound(Asked):
    """Which stored messages to parse again."""

    everything: bool = Field(False, description="Also those that the present parser has parsed.")


class RoundState(Schema):
    """A round and its progress, in messages. `lost`: without stored bytes; they are not changed."""

    id: int
    account_id: int | None = Field(description="null: of all accounts.")
    everything: bool
    started_at: datetime
    finished_at: datetime | None
    total: int
    done: int
    changed: int
    changed_fields: dict[str, int]
    lost: int
    failed: int

    @classmethod
    def of(cls, row: Reparse) -> RoundState:
        return cls(**columns(cls, row))


class StoredMail(Schema):
    """How many messages an older parser has parsed, and the last rounds, newest first."""

    waiting: int
    rounds: list[RoundState]


def _administrator(request: HttpRequest) -> None:
    caller_of(request).demand_everywhere(Scope.ADMINISTER)


@router.get("/reparse", response={200: Answer[StoredMail], **FAILURES}, operation_id="list_reparses")
def list_reparses(request: HttpRequest) -> Answer[StoredMail]:
    """What an older parser has parsed, and the last ten rounds."""
    _administrator(request)
    rounds = [RoundState.of(row) for row in Reparse.objects.order_by("-pk")[:ROUNDS_SHOWN]]
    return Answer(data=StoredMail(waiting=reparse.waiting(), rounds=rounds))


@router.post("/reparse", response={202: Answer[RoundState], **FAILURES}, operation_id="reparse")
def begin_reparse(
    request: HttpRequest, given: NewRound, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[RoundState]] | HttpResponse:
    """Have workers parse the stored mail of all accounts again; a round that is under way is answered instead of a
    second one."""
    _administrator(request)

    def begin() -> Status[Answer[RoundState]]:
        return Status(202, Answer(data=RoundState.of(begin_round(request, everything=given.everything)[0])))

    return once(request, idempotency_key, begin)


@router.get("/reparse/{pk}", response={200: Answer[RoundState], **FAILURES}, operation_id="get_reparse")
def get_reparse(request: HttpRequest, pk: Path[Number]) -> Answer[RoundState]:
    """The progress of a round."""
    _administrator(request)
    return Answer(data=RoundState.of(get_object_or_404(Reparse, pk=pk)))
