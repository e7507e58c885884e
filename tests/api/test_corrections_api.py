"""Programs correct the addresses of refused mail, as the page does: once, and to nobody who has the mail already."""

from __future__ import annotations

import pytest

from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.api.calling import Program, is_problem, ops, program
from tests.outbox.test_corrections import refused

__all__ = ["ops", "program"]
pytestmark = pytest.mark.django_db


def test_a_corrected_mail_goes_to_whom_it_lacks_once(program: Program, ops: Account) -> None:
    row = refused(ops, "anm@example.com, bob@example.com", accepted=("bob@example.com",))
    asked = {"attempt": row.last_attempt, "addresses": {"anm@example.com": "ann@example.com"}}
    path, key = f"/outbox/{row.pk}/correct-addresses", {"idempotency-key": "k"}
    first = program.post(path, asked, **key)
    assert first.status_code == 200, first.content
    copy = OutboxMessage.objects.exclude(pk=row.pk).get()
    assert first.json()["data"]["outbox_id"] == copy.pk
    assert [each.address for each in copy.recipients.all()] == ["ann@example.com"]
    assert OutboxMessage.objects.get(pk=row.pk).status == "cancelled"

    assert program.post(path, asked, **key).json() == first.json()
    assert is_problem(program.post(path, asked), 422, "Validation")
    assert OutboxMessage.objects.count() == 2


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ({"eve@example.com": "ann@example.com"}, "eve@example.com is no recipient"),
        ({"anm@example.com": "anm@example.com"}, "No address was changed"),
        ({"anm@example.com": "ann at home"}, "address"),
        ({"anm@example.com": ""}, "No address is left"),
    ],
)
def test_what_corrects_nothing_is_refused_with_its_reason(
    program: Program, ops: Account, addresses: dict[str, str], words: str
) -> None:
    row = refused(ops, "anm@example.com")
    answer = program.post(f"/outbox/{row.pk}/correct-addresses", {"attempt": row.last_attempt, "addresses": addresses})
    assert is_problem(answer, 422, "Validation")
    assert words in answer.json()["detail"]
    assert OutboxMessage.objects.get().hold == "permanent"
