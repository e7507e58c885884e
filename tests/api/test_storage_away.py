"""A database, disk or stored file that is away: programs are told to try again, and not what runs where."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError

from api import tokens
from mailbox.errors import StorageError
from mailbox.models import Account, RawMessage, StoreMiss
from mailbox.storage.durable_files import raw_storage
from outbox.compose import new_row
from outbox.models import OutboxMessage
from tests.api.calling import PROBLEM, Program, is_problem, mail, ops, program
from tests.rows import letter, store

__all__ = ["ops", "program"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
INSIDE = 'connection to server at "10.1.2.3", port 5432 failed'


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def is_told_to_try_again(answer: Any) -> bool:
    body = answer.content.decode()
    assert (answer.status_code, answer["Content-Type"]) == (HTTPStatus.SERVICE_UNAVAILABLE, PROBLEM), body
    assert answer.json()["error"]["code"] == "Storage" and "10.1.2.3" not in body
    return "ry again" in body


@pytest.mark.parametrize(
    "error", [OperationalError(INSIDE), InterfaceError(INSIDE), StorageError("no room. Try again.")]
)
def test_what_is_away_is_a_problem_with_a_time_to_come_back(
    program: Program, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(tokens, "authenticate", failing(error))
    answer = program.get("/accounts")
    assert is_told_to_try_again(answer) and answer["Retry-After"] == "10"


def test_a_mistake_of_ours_is_no_reason_to_try_again(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "authenticate", failing(ProgrammingError("no such column")))
    program.client.raise_request_exception = False
    answer = program.get("/accounts")
    assert is_problem(answer, HTTPStatus.INTERNAL_SERVER_ERROR, "Internal") and "column" not in answer.content.decode()


def test_a_wrong_host_is_a_problem_too(program: Program) -> None:
    assert is_problem(program.get("/accounts", host="evil.example.net"), HTTPStatus.BAD_REQUEST, "Validation")


@pytest.mark.parametrize("error", [OperationalError(INSIDE), StorageError("The disk is full.")])
def test_a_mail_that_could_not_be_stored_is_said_without_what_the_database_said(
    program: Program, ops: Account, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(new_row, "insert", failing(error))
    answer = program.post("/send", mail(ops), **{"idempotency-key": "k1"})
    assert is_told_to_try_again(answer) and "was not sent" in answer.content.decode()
    assert not OutboxMessage.objects.exists()


def test_a_file_that_is_out_of_reach_is_a_problem_and_noted(program: Program, ops: Account) -> None:
    message = store(ops, letter())
    Path(raw_storage().path(RawMessage.objects.get(digest=message.raw_digest).segment)).unlink()
    assert is_told_to_try_again(program.get(f"/messages/{message.pk}/source"))
    assert StoreMiss.objects.exists()
