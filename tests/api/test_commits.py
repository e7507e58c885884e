"""Each door writes a mail down in one transaction: a commit is a wait for the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from api.submission import acceptance
from mailbox.db import shared_commit
from mailbox.models import Account, AuditEntry
from outbox.compose.submitted_mail import Submitted
from outbox.models import DeliveryCall, OutboxMessage
from tests.api.calling import Program, mail
from tests.api.submitting import MAIL, OPS, Submission, ops, secret, send, submission
from tests.servers.ports import wait_until

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
    acceptance.accept(program, Submitted(MAIL, ("ann@example.com",)))  # a delivery worker is called for, once
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
    names, together, write = (b"<1@", b"<2@", b"<3@", b"<3@"), list[int](), shared_commit._write

    def noted(batch: Sequence[shared_commit.Write]) -> None:
        together.append(len(batch))
        write(batch)

    monkeypatch.setattr(shared_commit, "_write", noted)

    def hand_over(name: bytes) -> str:
        with submission.connect(secret) as client:
            return send(client, MAIL.replace(b"<1@", name))

    waiting, turn = shared_commit._waiting, shared_commit._turn
    with ThreadPoolExecutor(len(names)) as pool:
        with turn:  # as while another thread commits
            answers = [pool.submit(hand_over, name) for name in names]
            wait_until(lambda: len(waiting) == len(names), seconds=30, what="all of them to wait")
        replies = [each.result() for each in answers]
    assert all(each.startswith("250") for each in replies), replies
    assert together[0] == len(names)
    assert len(set(replies)) == OutboxMessage.objects.count() == 3


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL commits side by side.")
def test_requests_of_several_programs_are_committed_together(
    ops: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them with one key: both get the one row, and each use is noted."""
    programs = [Program(make_user("operator", f"op{number}")) for number in range(3)]
    keys, waiting, turn = ("a", "b", "b"), shared_commit._waiting, shared_commit._turn

    def ask(program: Program, key: str) -> int:
        try:
            answer = program.post("/send", mail(ops), **{"idempotency-key": key})
            assert answer.status_code == 202, answer.content
            return int(answer.json()["data"]["outbox_id"])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(keys)) as pool:
        with turn:
            answers = [pool.submit(ask, program, key) for program, key in zip(programs, keys, strict=True)]
            wait_until(lambda: len(waiting) == len(keys), seconds=30, what="all of them to wait")
        found = [each.result() for each in answers]
    assert found[1] == found[2] and len(set(found)) == OutboxMessage.objects.count() == 2
    assert AuditEntry.objects.filter(verb="use_token").count() == 3
