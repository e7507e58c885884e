"""What an operation of the API changes stands in one commit: a process that is killed leaves all of it, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailbox.models import Account
from outbox.models import SendingSwitch
from tests.api.calling import Program, ops, program
from tests.api.operations import operations

__all__ = ["ops", "program"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.pages]
_WRITES = re.compile(r'(?:INSERT(?: OR IGNORE)? INTO|UPDATE|DELETE FROM) "?(\w+)')
# Of no operation: the token's counter, the queue, which a sweep stands in for, and numbers of events.
BESIDE = {"api_tokens", "django_q_ormq", "events", "event_numbers"}
TOKEN_USED = {"audit_entries"}  # which token it was, behind the change; who it was stands beside the change
# The mail is there once, under the draft's key, whether or not the draft is gone; its bytes are durable before. A row
# that is looked for is made before the look is asked for, as a sweep makes it.
SEVERAL = {"send_draft": 3, "look_in_sent": 2}


def commits(asked: Sequence[dict[str, Any]]) -> Iterator[set[str]]:
    """The tables that each commit wrote to; a statement outside of a transaction is one."""
    tables: set[str] | None = None
    for sql in (each["sql"] for each in asked):
        if sql.startswith("BEGIN"):
            tables = set()
        elif sql.startswith(("COMMIT", "ROLLBACK")) and "SAVEPOINT" not in sql:
            if tables and sql.startswith("COMMIT"):
                yield tables
            tables = None
        elif found := _WRITES.match(sql.lstrip()):
            if tables is None:
                yield {found[1]}
            else:
                tables.add(found[1])


def test_each_operation_changes_all_or_nothing(program: Program, ops: Account, subtests: pytest.Subtests) -> None:
    SendingSwitch.current()  # its one row is made when it is first asked for
    done = 0
    for name, each in operations(ops).items():
        if each.method == "get":
            continue
        with subtests.test(name):
            with CaptureQueriesContext(connection) as asked:
                answer = program.ask(each.method, each.path, each.body)
            assert answer.status_code < 500
            written = [tables - BESIDE for tables in commits(list(asked))]
            changes = [tables for tables in written if tables and tables != TOKEN_USED]
            assert len(changes) <= SEVERAL.get(name, 1), written
            assert written.count(TOKEN_USED) <= 1, written
            done += len(changes)
    assert done > 50
