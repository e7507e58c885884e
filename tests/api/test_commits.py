"""Each door writes a mail down in one transaction: a commit is a wait for the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.submission import acceptance
from mailbox.models import Account, AuditEntry
from outbox.compose.submitted_mail import Submitted
from outbox.delivery import database
from outbox.models import DeliveryCall, OutboxMessage
from tests.api.calling import Program, mail
from tests.api.submitting import MAIL, OPS, Submission, ops, secret, send, submission

__all__ = ["ops", "secret", "submission"]
pytestmark = pytest.mark.django_db(transaction=True)
BEGINS, WRITES = "BEGIN", ("INSERT", "UPDATE", "DELETE")


def commits(asked: Sequence[dict[str, Any]]) -> int:
    """Transactions, and writes outside of one."""
    found, is_inside = 0, False
    for sql in (each["sql"] for each in asked):
        found += sql.startswith(BEGINS) or (sql.startswith(WRITES) and not is_inside)
        is_inside = sql.startswith(BEGINS) or (is_inside and not sql.startswith(("COMMIT", "ROLLBACK")))
    return found


def test_a_mail_by_smtp_is_one_commit(ops: Account, secret: str) -> None:
    program = acceptance.sign_in(OPS, secret, "127.0.0.1")
    acceptance.accept(program, Submitted(MAIL, ("ann@example.com",)))  # a courier is called for, once
    assert DeliveryCall.objects.exists()
    with CaptureQueriesContext(connection) as asked:
        assert acceptance.accept(program, Submitted(MAIL.replace(b"<1@", b"<2@"), ("ann@example.com",)))[:3] == "250"
    assert commits(list(asked)) == 1


def test_a_mail_by_the_api_is_one_commit_with_both_entries_of_the_activity(
    ops: Account, make_user: Callable[..., User]
) -> None:
    program = Program(make_user("operator"))
    for number in range(8):  # the token's requests are counted by few writes then
        assert program.post("/send", mail(ops, subject=str(number))).status_code == 202
    seen = list[int]()
    for number in range(8, 12):
        with CaptureQueriesContext(connection) as asked:
            assert program.post("/send", mail(ops, subject=str(number))).status_code == 202
        seen.append(commits(list(asked)))
    assert min(seen) == 1 and max(seen) <= 2
    for verb in ("send", "use_token"):
        assert AuditEntry.objects.filter(verb=verb).count() == 12


def test_one_that_is_asked_for_again_is_noted_as_a_use_each_time(ops: Account, make_user: Callable[..., User]) -> None:
    program = Program(make_user("operator"))
    for _ in range(2):
        assert program.post("/send", mail(ops), **{"idempotency-key": "a"}).status_code == 202
    noted = [AuditEntry.objects.filter(verb=verb).count() for verb in ("send", "use_token")]
    assert (OutboxMessage.objects.count(), noted) == (1, [1, 2])


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL commits side by side.")
def test_mails_of_several_sessions_are_committed_together(
    submission: Submission, ops: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them under one Message-ID, one of which finds the other one's row then."""
    gather, write, together = database.Database._gather, database._write, list[int]()
    names, are_there = (b"<1@", b"<2@", b"<3@", b"<3@"), threading.Event()

    def once_all_are_there(self: database.Database, turns: int) -> None:
        if are_there.is_set() or len(self._gathered) == len(names):
            are_there.set()
            gather(self, 0)
        else:
            asyncio.get_running_loop().call_later(0.01, self._gather, turns)

    def noted(batch: Sequence[database.Write]) -> None:
        together.append(len(batch))
        write(batch)

    monkeypatch.setattr(database.Database, "_gather", once_all_are_there)
    monkeypatch.setattr(database, "_write", noted)

    def hand_over(name: bytes) -> str:
        with submission.connect(secret) as client:
            return send(client, MAIL.replace(b"<1@", name))

    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(hand_over, names))
    assert all(each.startswith("250") for each in answers), answers
    assert together[0] == len(names)
    assert len(set(answers)) == OutboxMessage.objects.count() == 3
