"""The events that webhooks get, for programs that poll."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from alerts.events import numbers
from alerts.models import Event, EventKind
from api.v1.answers import Answer, Limit
from api.v1.common import FAILURES, seen

router = Router(tags=["events"])
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]


class EventState(Schema):
    """One event: what a webhook would have been sent."""

    id: str = Field(description="The webhook-id of its delivery.")
    number: int = Field(description="Its place among all events; what comes later has a higher one.")
    type: str
    timestamp: datetime
    account_id: int
    message_id: int | None
    outbox_id: int | None
    folder_id: int | None
    detail: dict[str, Any] = Field(description="What the row said at that moment.")

    @classmethod
    def of(cls, row: Event) -> EventState:
        return cls(id=row.identifier, type=row.kind, timestamp=row.created_at, **row.facts())


class Events(Schema):
    """Events in the order of their numbers."""

    items: list[EventState]
    next: int = Field(description="The `after` of the following question.")
    is_all: bool = Field(description="False: more is there already.")
    is_gapless: bool = Field(description="False: events behind `after` were removed before they were read.")


@router.get("/events", response={200: Answer[Events], **FAILURES}, operation_id="list_events")
def list_events(
    request: HttpRequest,
    after: Number | None = None,
    limit: Limit = 100,
    kind: Annotated[list[EventKind], Query([], description="Only these; none: all.")] = [],  # noqa: B006
) -> Answer[Events]:
    """Events of the token's accounts with a number above `after`, oldest first. Without `after`: no events, and in
    `next` the number to begin with. Events are kept for seven days."""
    accounts, end = seen(request), numbers.give()
    if after is None:
        return Answer(data=Events(items=[], next=end, is_all=True, is_gapless=True))
    found = numbers.after(after, accounts, [each.value for each in kind] or None, limit + 1)
    page, oldest = found[:limit], numbers.oldest()
    more = len(found) > limit
    reached = page[-1].number or 0 if page else 0
    following = reached if more else max(reached, end)
    # `after` above the newest number comes from another database, or from this one before it was restored.
    gapless = after <= following and (after >= end or (oldest is not None and oldest <= after + 1))
    items = [EventState.of(each) for each in page]
    return Answer(data=Events(items=items, next=following, is_all=not more, is_gapless=gapless))
