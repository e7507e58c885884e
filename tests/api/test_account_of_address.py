"""Which account a program's mail is of: found by an index, not by reading all accounts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.submission import acceptance
from mailbox.models import Account, AccountAlias
from tests.api.calling import Program
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db


@pytest.fixture
def program(make_account: Callable[..., Account], make_user: Callable[..., User]) -> Program:
    for name in ("ann", "ops", "bob"):
        make_account(f"{name}@example.com", **NOWHERE)
    return Program(make_user("operator"))


def submitted(program: Program, mail_from: str) -> Any:
    raw = f"From: {mail_from}\r\nMessage-ID: <1@example.com>\r\n\r\nHi".encode()
    given = {"mail_from": mail_from, "rcpt_to": ["cay@example.com"], "base64": b64encode(raw).decode()}
    return program.post("/submit", given)


def test_an_account_is_found_by_its_own_address_whatever_its_case_without_reading_the_others(program: Program) -> None:
    """At each sign-in by SMTP and each mail by /submit; with a thousand accounts that took longer than all else."""

    def ways() -> list[Callable[[], object]]:
        sign_in = acceptance.sign_in.__wrapped__  # type: ignore[attr-defined]  # without closing the test's connection
        return [
            lambda: submitted(program, "OPS@Example.com").json()["data"]["outbox_id"],
            lambda: sign_in("OPS@Example.com", program.secret, "127.0.0.1").account_id,
        ]

    for found in ways():
        with CaptureQueriesContext(connection) as asked:
            assert found()
        of_all = [each["sql"] for each in asked.captured_queries if each["sql"].endswith('FROM "accounts"')]
        by_index = [each["sql"] for each in asked.captured_queries if 'LOWER("accounts"."email")' in each["sql"]]
        assert (of_all, len(by_index)) == ([], 1)
        assert not any('FROM "account_aliases"' in each["sql"] and " IN (" in each["sql"] for each in asked)


def test_a_further_address_and_another_spelling_are_found_as_before(
    program: Program, make_account: Callable[..., Account]
) -> None:
    AccountAlias.objects.create(account=Account.objects.get(email="bob@example.com"), email="desk@example.com")
    assert submitted(program, "desk@example.com").status_code == 202
    made = make_account("eve@xn--bcher-kva.example", **NOWHERE)
    program_of = acceptance.sign_in.__wrapped__("eve@bücher.example", program.secret, "127.0.0.1")  # type: ignore[attr-defined]
    assert program_of.account_id == made.pk
    assert submitted(program, "nobody@example.com").status_code == 404
