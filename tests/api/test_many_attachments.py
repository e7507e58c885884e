"""A received mail may have ten thousand attachments: each costs a program's answer a few steps, not hundreds."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from mailbox.models import Account, Attachment
from tests.api.calling import Program, ops, program
from tests.rows import letter, store

__all__ = ["ops", "program"]
pytestmark = pytest.mark.django_db


def with_attachments(account: Account, number: int) -> int:
    message = store(account, letter("Many files"))
    facts = {"message": message, "account": account, "received_at": message.received_at, "content_type": "image/png"}
    facts |= {"size": 3, "is_inline": False, "digest": "0" * 64}
    rows = [Attachment(position=each, filename=f"{each}.png", **facts) for each in range(number)]
    Attachment.objects.bulk_create(rows)
    return message.pk


def calls_of(program: Program, pk: int) -> int:
    """How many Python functions run for an answer."""
    counted = 0

    def count(_frame: FrameType, happened: str, _argument: object) -> None:
        nonlocal counted
        counted += happened == "call"

    sys.setprofile(count)
    try:
        answer = program.get(f"/messages/{pk}")
    finally:
        sys.setprofile(None)
    assert answer.status_code == 200
    return counted


def test_an_attachment_costs_a_few_steps(ops: Account, program: Program) -> None:
    few, many = with_attachments(ops, 10), with_attachments(ops, 510)
    listed = program.get(f"/messages/{many}").json()["data"]["attachments"]  # the first answer also imports
    first = {"position": 0, "filename": "0.png", "content_type": "image/png", "size": 3, "is_inline": False}
    assert (len(listed), listed[0], listed[-1]["position"]) == (510, first, 509)
    assert (calls_of(program, many) - calls_of(program, few)) / 500 < 15
