"""Every operation of the HTTP API, tried with every kind of token."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from api.models import KeptAnswer, Scope
from mailbox.models import Account, AuditEntry
from outbox.models import OutboxMessage
from tests.api.calling import V1, Program, is_problem, ops, sales
from tests.api.operation import READ, Operation
from tests.api.operations import operations
from tests.test_every_address import undone

__all__ = ["ops", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
ONLY_SAYS = {"preview_rule", "fill_saved_reply"}  # a POST that changes nothing


def tried(program: Program, operation: Operation) -> tuple[int, str]:
    answered = program.ask(operation.method, operation.path, operation.body)
    is_json = "json" in answered.headers["Content-Type"]
    return answered.status_code, (answered.json()["error"] or {}).get("code", "") if is_json else ""


def test_every_operation_refuses_other_accounts_missing_scopes_and_low_roles(
    client: Client, make_user: Callable[..., User], ops: Account, sales: Account, subtests: pytest.Subtests
) -> None:
    schema = client.get(f"{V1}/openapi.json").json()
    known = {each["operationId"] for methods in schema["paths"].values() for each in methods.values()}
    table = operations(ops)
    assert known == set(table)
    chief = make_user("administrator")
    elsewhere = Program(chief, accounts=[sales])
    only = {scope: Program(chief, scopes=[each for each in Scope if each != scope]) for scope in Scope}
    viewer = Program(make_user("viewer"))
    entries, rows = AuditEntry.objects.count(), list(OutboxMessage.objects.order_by("pk").values())
    due = {"account": (404, "NotFound"), "everything": (403, "Forbidden"), "list": (200, "")}
    for name, each in table.items():
        with subtests.test(name):
            assert tried(elsewhere, each) == due[each.of], "a token for another account"
            for scope in (each.scope, *each.also):
                assert tried(only[scope], each) == (403, "Forbidden"), f"a token without the scope {scope}"
            of_role = (200, "") if each.scope == READ and each.of == "account" else due[each.of]
            assert tried(viewer, each) == of_role, "a token gives no role"
    assert (AuditEntry.objects.count(), list(OutboxMessage.objects.order_by("pk").values())) == (entries, rows)


def test_every_operation_does_it_for_who_may(
    make_user: Callable[..., User], ops: Account, subtests: pytest.Subtests
) -> None:
    chief = make_user("administrator")
    for name, each in operations(ops).items():
        with subtests.test(name), undone():
            if name == "delete_account":
                OutboxMessage.objects.update(status="cancelled", hold="")
            bound = {} if each.of == "everything" else {"accounts": [ops]}
            program = Program(chief, scopes=[each.scope, *each.also], **bound)
            answered = program.ask(each.method, each.path, each.body)
            assert answered.status_code in (200, 201, 202), answered.content
            changes = each.method != "get" and name not in ONLY_SAYS
            assert AuditEntry.objects.filter(verb="use_token").exists() == changes


def test_what_creates_is_created_once_for_a_key(
    make_user: Callable[..., User], ops: Account, subtests: pytest.Subtests
) -> None:
    """Whatever has the header in the schema, but mail: that is the outbox's own (test_http_api)."""
    program, client = Program(make_user("administrator")), Client()
    schema = client.get(f"{V1}/openapi.json").json()
    with_key = {
        each["operationId"]
        for methods in schema["paths"].values()
        for each in methods.values()
        if any(parameter["name"] == "Idempotency-Key" for parameter in each.get("parameters", []))
    }
    table = operations(ops)
    assert with_key >= {"send", "reply", "create_account", "test_account", "test_webhook", "test_alert_rule"}
    for name in sorted(with_key - {"send", "reply"}):
        with subtests.test(name), undone():
            each = table[name]
            first = program.ask(each.method, each.path, each.body, **{"idempotency-key": "k"})
            again = program.ask(each.method, each.path, each.body, **{"idempotency-key": "k"})
            assert (first.status_code, first.content) == (again.status_code, again.content), "the same answer"
            assert first.status_code in (200, 201, 202), first.content
            assert KeptAnswer.objects.count() == 1
            other = program.client.post(
                f"{V1}{each.path}",
                data=f"{json.dumps(each.body)} ",
                content_type="application/json",
                headers={"authorization": f"Bearer {program.secret}", "idempotency-key": "k"},
            )
            assert is_problem(other, 422, "Validation"), "another request with the same key"


def test_a_request_that_was_refused_keeps_no_key(make_user: Callable[..., User], ops: Account) -> None:
    program = Program(make_user("administrator"))
    assert is_problem(program.post("/accounts/999/tests", **{"idempotency-key": "k"}), 404, "NotFound")
    assert not KeptAnswer.objects.exists()
    assert program.post(f"/accounts/{ops.pk}/tests", **{"idempotency-key": "k"}).status_code == 202


@pytest.mark.parametrize("method, path, status", [
    ("put", "/accounts", 405),
    ("delete", "/send", 405),
    ("get", "/nothing", 404),
    ("post", "/", 404),
    ("get", "/accounts/0", 422),
])  # fmt: skip
def test_what_is_no_operation_is_a_problem_too(
    make_user: Callable[..., User], method: str, path: str, status: int
) -> None:
    code = {405: "NotAllowed", 404: "NotFound", 422: "Validation"}[status]
    assert is_problem(Program(make_user("viewer")).ask(method, path), status, code)


def test_a_request_that_is_too_large_is_a_problem_too(
    make_user: Callable[..., User], ops: Account, settings: Settings
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answered = Program(make_user("operator")).post("/suppressed/csv", {"csv": "x" * 1000})
    assert is_problem(answered, 413, "TooLarge")
    assert "1000 bytes" in answered.json()["detail"]


def test_head_is_answered_as_get_without_the_body(make_user: Callable[..., User], ops: Account) -> None:
    program = Program(make_user("viewer"))
    got, head = program.get(f"/accounts/{ops.pk}"), program.ask("head", f"/accounts/{ops.pk}")
    assert (head.status_code, head.headers["ETag"], head.content) == (200, got.headers["ETag"], b"")
