"""The events that webhooks get, for programs that poll or that read server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Header, Query, Router, Schema
from pydantic import Field

from alerts.events import numbers
from alerts.models import Event, EventKind
from api.v1.protocol.access import FAILURES, seen
from api.v1.protocol.answers import Answer, Limit
from api.v1.protocol.rendering import Encoder

router = Router(tags=["events"])
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
Kinds = Annotated[list[EventKind], Query([], description="Only these; none: all.")]
EVENT_STREAM = "text/event-stream"
# A stream that is held open would keep a thread of the web server. So each answer ends behind what is there, and the
# client connects again after this time, as the standard has it do. More often would spend a token's usual rate.
AGAIN_MS, MORE_MS = 2_000, 200
STREAM: dict[Any, Any] = {200: None, **FAILURES}
AS_STREAM = {"responses": {200: {"content": {EVENT_STREAM: {"schema": {"description": "`data` is an EventState."}}}}}}


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
    kind: Kinds = [],  # noqa: B006
) -> Answer[Events]:
    """Events of the token's accounts with a number above `after`, oldest first. Without `after`: no events, and in
    `next` the number to begin with. Events are kept for seven days."""
    return Answer(data=_events(request, after, limit, kind))


def _events(request: HttpRequest, after: int | None, limit: int, kinds: Sequence[EventKind]) -> Events:
    accounts, end = seen(request), numbers.give()
    if after is None:
        return Events(items=[], next=end, is_all=True, is_gapless=True)
    found = numbers.after(after, accounts, [each.value for each in kinds] or None, limit + 1)
    page, oldest = found[:limit], numbers.oldest()
    more = len(found) > limit
    reached = page[-1].number or 0 if page else 0
    following = reached if more else max(reached, end)
    # `after` above the newest number comes from another database, or from this one before it was restored.
    gapless = after <= following and (after >= end or (oldest is not None and oldest <= after + 1))
    items = [EventState.of(each) for each in page]
    return Events(items=items, next=following, is_all=not more, is_gapless=gapless)


@router.get("/events/stream", response=STREAM, operation_id="stream_events", openapi_extra=AS_STREAM)
def stream_events(
    request: HttpRequest,
    after: Number | None = None,
    limit: Limit = 100,
    kind: Kinds = [],  # noqa: B006
    last_event_id: Annotated[Number | None, Header(None, alias="Last-Event-ID")] = None,
) -> HttpResponse:
    """The same as server-sent events: `id` is the number, `event` the type, `data` the event. The answer ends behind
    what is there; the client comes back after `retry` with `Last-Event-ID`, which goes before `after`. An event `gap`
    says that events were removed before they were read."""
    begin = after if last_event_id is None else last_event_id
    text = "".join(_blocks(_events(request, begin, limit, kind)))
    return HttpResponse(text, content_type=EVENT_STREAM)


def _blocks(found: Events) -> Iterator[str]:
    yield f"retry: {AGAIN_MS if found.is_all else MORE_MS}\n\n"
    if not found.is_gapless:
        yield "event: gap\ndata: {}\n\n"
    for each in found.items:
        yield f"id: {each.number}\nevent: {each.type}\ndata: {json.dumps(each.model_dump(), cls=Encoder)}\n\n"
    yield f"id: {found.next}\n\n"  # without data: no event, but where the client goes on
