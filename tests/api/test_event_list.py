"""Events by their number, and as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User

from alerts.models import Event
from api.models import Scope
from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.api.calling import Program, is_problem, ops, program, sales
from tests.rows import letter, outbox_row, store

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_events_are_read_by_their_number_and_only_those_of_the_tokens_accounts(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    user = make_user("administrator")
    mine = Program(user, accounts=[ops], scopes=[Scope.READ])
    begin = mine.get("/events").json()["data"]["next"]
    store(sales, letter())
    message = store(ops, letter())
    row = outbox_row(ops)
    OutboxMessage.objects.filter(pk=row.pk).update(status="sent")
    first = mine.get(f"/events?after={begin}&limit=1").json()["data"]
    assert [(each["type"], each["message_id"]) for each in first["items"]] == [("message.new", message.pk)]
    assert (first["is_all"], first["is_gapless"]) == (False, True)
    second = mine.get(f"/events?after={first['next']}").json()["data"]
    assert [each["outbox_id"] for each in second["items"]] == [row.pk]
    assert second["is_all"]
    assert mine.get(f"/events?after={second['next']}").json()["data"]["items"] == []
    chosen = mine.get(f"/events?after={begin}&kind=outbox.sent&kind=outbox.failed").json()["data"]["items"]
    assert [each["type"] for each in chosen] == ["outbox.sent"]
    # A number of another database, or of before a restore: nothing can be said of what lay between.
    assert not mine.get(f"/events?after={second['next'] + 5}").json()["data"]["is_gapless"]
    assert is_problem(mine.get("/events?after=x"), 422, "Validation")
    assert is_problem(mine.get("/events?after=1&kind=nonsense"), 422, "Validation")
    assert is_problem(Program(user, scopes=[Scope.SEND]).get("/events?after=0"), 403, "Forbidden")


@dataclass
class Listener:
    """A client of server-sent events, as WHATWG HTML 9.2.6 has it read a stream."""

    program: Program
    query: str = ""
    last_id: str = ""
    retry: int = 0
    told: list[tuple[str, Any]] = field(default_factory=list)

    def connect(self) -> list[tuple[str, Any]]:
        """What it is told by one more answer."""
        asked = {"last-event-id": self.last_id} if self.last_id else {}
        answer = self.program.get(f"/events/stream{self.query}", accept="text/event-stream", **asked)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream"), answer.content
        begin = len(self.told)
        *blocks, rest = answer.content.decode().split("\n\n")
        assert rest == "", "a block that is not over would be dropped"
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            self.last_id = fields.get("id", self.last_id)
            self.retry = int(fields.get("retry", self.retry))
            if "data" in fields:
                self.told.append((fields["event"], json.loads(fields["data"])))
        return self.told[begin:]


def test_a_listener_is_told_each_event_once_as_server_sent_events(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    user = make_user("administrator")
    mine = Program(user, accounts=[ops], scopes=[Scope.READ])
    store(ops, letter("Before"))
    listener = Listener(mine)
    assert listener.connect() == [], "it begins with what happens from now on"
    store(sales, letter("Of another account"))
    begin = listener.last_id
    messages = [store(ops, letter(f"Number {number}")) for number in range(3)]
    told = listener.connect()
    assert [(kind, each["message_id"]) for kind, each in told] == [("message.new", each.pk) for each in messages]
    listed = mine.get(f"/events?after={begin}").json()["data"]
    assert [each for _, each in told] == listed["items"]
    assert (listener.last_id, listener.retry) == (str(listed["next"]), 2000)
    assert listener.connect() == []
    few = Listener(mine, "?limit=2&kind=message.new", last_id=begin)
    assert len(few.connect()) == 2 and few.retry == 200
    assert few.connect() == told[2:] and few.retry == 2000
    Event.objects.filter(number__lte=told[1][1]["number"]).delete()
    late = Listener(mine, last_id=begin)
    assert [kind for kind, _ in late.connect()] == ["gap", "message.new"]
    assert is_problem(mine.get("/events/stream", **{"last-event-id": "x"}), 422, "Validation")
    assert is_problem(Program(user, scopes=[Scope.SEND]).get("/events/stream"), 403, "Forbidden")
