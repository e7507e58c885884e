"""Times of any offset that RFC 3339 allows mean the same instant on both databases; PostgreSQL knows 15:59 at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.test import RequestFactory

from mailbox.models import Account
from mailbox.views.requests import posted_time
from outbox.models import OutboxMessage, SendingSwitch, SuppressedAddress
from tests.api.calling import Program, is_problem, mail, ops, program

__all__ = ["ops", "program"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
FAR_WEST, FAR_EAST = timezone(-timedelta(hours=19, minutes=42)), timezone(timedelta(hours=23, minutes=59))


@pytest.mark.parametrize("zone", [FAR_WEST, FAR_EAST, UTC])
def test_an_instant_is_known_by_whatever_offset_it_is_told(program: Program, ops: Account, zone: timezone) -> None:
    program.post("/sending/pause", {"reason": "a drill"})
    at = SendingSwitch.current().paused_at
    assert at is not None
    other = {"paused_at": (at + timedelta(seconds=1)).astimezone(zone).isoformat()}
    assert program.post("/sending/resume", other).json()["data"]["paused_at"] is not None
    shown = {"paused_at": at.astimezone(zone).isoformat()}
    assert program.post("/sending/resume", shown).json()["data"]["paused_at"] is None
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    assert program.post("/send", mail(ops, send_at=due.astimezone(zone).isoformat())).status_code == 202
    assert OutboxMessage.objects.get().next_attempt_at == due
    since = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    csv = f"account,address,since\n{ops.email},gone@example.com,{since.astimezone(zone).isoformat()}\n"
    assert program.post("/suppressed/csv", {"csv": csv}).status_code == 200
    assert SuppressedAddress.objects.get().since == since
    request = RequestFactory().post("/", {"at": since.astimezone(zone).isoformat()})
    assert posted_time(request, "at") == since


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_an_instant_outside_of_all_calendars_is_refused(program: Program, ops: Account, at: str) -> None:
    assert is_problem(program.post("/sending/resume", {"paused_at": at}), 422, "Validation")
    assert is_problem(program.post("/send", mail(ops, send_at=at)), 422, "Validation")
    assert posted_time(RequestFactory().post("/", {"at": at}), "at") is None
