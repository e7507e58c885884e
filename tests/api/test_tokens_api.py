"""Tokens by the HTTP API: what is listed of them, and how one is ended. None is made there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from api.models import Scope, Token
from mailbox.models import Account, AuditEntry
from tests.api.calling import Program, is_problem, ops, program, sales

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_tokens_of_all_users_are_listed_without_what_opens(
    program: Program, make_user: Callable[..., User], ops: Account
) -> None:
    vera = make_user("viewer", "vera")
    bound = Program(vera, name="crm", scopes=[Scope.READ], accounts=[ops], networks=["192.0.2.0/24"])
    answered = program.get("/tokens")
    first, own = answered.json()["data"]["items"]
    assert (first["name"], first["username"], first["scopes"]) == ("crm", "vera", ["read"])
    assert (first["account_ids"], first["networks"], first["last_used_at"]) == ([ops.pk], ["192.0.2.0/24"], None)
    assert own["account_ids"] is None and own["last_used_at"] is not None
    for each in (bound, program):
        digest = Token.objects.get(user=vera).digest
        assert each.secret not in answered.content.decode() and digest not in answered.content.decode()
    rest = program.get(f"/tokens?limit=1&before={first['id']}").json()["data"]
    assert [each["id"] for each in rest["items"]] == [own["id"]] and rest["next"] is None


def test_a_token_is_ended_also_while_its_program_uses_it(program: Program, make_user: Callable[..., User]) -> None:
    other = Program(make_user("viewer", "vera"), name="crm")
    pk = Token.objects.get(name="crm").pk
    seen = program.get(f"/tokens/{pk}").headers["ETag"]
    assert other.get("/accounts").status_code == 200
    assert program.ask("delete", f"/tokens/{pk}", **{"if-match": seen}).status_code == 200
    assert is_problem(other.get("/accounts"), 401, "Unauthorized")
    entries = (
        AuditEntry.objects.filter(verb__in=["end_token", "use_token"]).order_by("pk").values_list("verb", flat=True)
    )
    assert list(entries) == ["end_token", "use_token"]
    assert is_problem(program.ask("delete", f"/tokens/{pk}"), 404, "NotFound")


def test_a_token_may_end_itself(program: Program) -> None:
    assert program.ask("delete", f"/tokens/{Token.objects.get().pk}").status_code == 200
    assert is_problem(program.get("/tokens"), 401, "Unauthorized")


def test_no_token_makes_another(program: Program) -> None:
    assert is_problem(program.post("/tokens", {"name": "more", "scopes": ["read"]}), 405, "NotAllowed")
    assert Token.objects.count() == 1
