"""Events by their number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

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
