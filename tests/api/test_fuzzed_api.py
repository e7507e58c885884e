"""The whole HTTP API under made-up requests (schemathesis): no 500, no answer that the schema does not state, and
nothing of another account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.db.models import Model
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation

from alerts.models import AlertRule, Webhook
from api.models import Scope, Token
from mailbox.models import (
    Account,
    AccountAlias,
    AccountGrant,
    LegalHold,
    Message,
    PersonSearch,
    Quarantine,
    Reparse,
    RetentionRule,
    SettingsLookup,
)
from outbox.models import Draft, Operation, OutboxMessage, SavedReply, SuppressedAddress
from tests.api.calling import V1, Program, ops, sales
from tests.api.marking import mark, mark_content
from tests.api.operations import operations
from tests.secret_guard import SHORTEST
from tests.test_every_address import undone

__all__ = ["ops", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
CHECKS = [
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
MARK = "of-nobody-elses-concern"
CONTENT = "only-for-readers"
# The longer one first.
FOUND_AT: dict[str, type[Model]] = {
    "/outbox/operations/": Operation,
    "/outbox/": OutboxMessage,
    "/drafts/": Draft,
    "/saved-replies/": SavedReply,
    "/reparse/": Reparse,
    "/autoconfig/": SettingsLookup,
    "/persons/": PersonSearch,
    "/messages/": Message,
    "/suppressed/": SuppressedAddress,
    "/quarantine/": Quarantine,
    "/aliases/": AccountAlias,
    "/retention/rules/": RetentionRule,
    "/retention/holds/": LegalHold,
    "/people/": User,
    "/tokens/": Token,
    "/webhooks/": Webhook,
    "/alert-rules/": AlertRule,
    "/": Account,
}


@dataclass(frozen=True)
class Kind:
    """A kind of token. `is_bound`: to one account. `role`: of its user, for all accounts, or for one (`is_granted`)."""

    role: str = "administrator"
    scopes: tuple[Scope, ...] = tuple(Scope)
    is_bound: bool = False
    is_granted: bool = False

    def program(self, make_user: Callable[..., User], account: Account) -> Program:
        user = make_user("" if self.is_granted else self.role)
        if self.is_granted:
            AccountGrant.objects.create(user=user, account=account, role=self.role)
        accounts = {"accounts": [account]} if self.is_bound else {}
        return Program(user, scopes=list(self.scopes), per_minute=100_000, **accounts)


KINDS = {
    "all scopes, some accounts": Kind(is_bound=True),
    "all scopes, all accounts": Kind(),
    "no scope": Kind(scopes=()),
    "a viewer's": Kind("viewer"),
    "an operator's, some accounts": Kind("operator", is_bound=True),
    "an administrator's of one account": Kind(is_granted=True),
    "an operator's of one account": Kind("operator", is_granted=True),
    **{f"{scope} alone": Kind(scopes=(scope,)) for scope in Scope},
    **{f"{scope} alone, some accounts": Kind(scopes=(scope,), is_bound=True) for scope in Scope},
}
FEW, MANY = 2, 5  # of each operation and mode: all kinds together take some ten minutes of a processor


@pytest.fixture
def known(ops: Account, sales: Account) -> dict[str, list[int]]:
    """Rows of each kind for two accounts, those of the second marked; their keys by the address they are found at."""
    for account in (ops, sales):
        operations(account)
    mark_content(CONTENT)
    mark(sales, MARK)
    return {path: sorted(model._default_manager.values_list("pk", flat=True)) for path, model in FOUND_AT.items()}


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Requests go by WSGI, which ends connections with each: the rows of the test are in its own transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def every_operation() -> Iterator[APIOperation]:
    schema = schemathesis.openapi.from_wsgi(f"{V1}/openapi.json", app=get_wsgi_application())
    for result in schema.get_all_operations():
        yield result.ok()


def rows_of(account: Account) -> list[Any]:
    found: list[Any] = list(Account.objects.filter(pk=account.pk).values())
    for model in (OutboxMessage, SuppressedAddress, Quarantine, Message):
        found += model._default_manager.filter(account=account).order_by("pk").values()
    return found


@pytest.mark.parametrize(
    "kind, examples",
    [
        ("all scopes, some accounts", FEW),
        *(pytest.param(kind, MANY, marks=pytest.mark.long) for kind in KINDS),
    ],
)
def test_whatever_is_asked_is_answered_as_the_schema_says(
    make_user: Callable[..., User],
    ops: Account,
    sales: Account,
    known: dict[str, list[int]],
    kind: str,
    examples: int,
    subtests: pytest.Subtests,
) -> None:
    of = KINDS[kind]
    program = of.program(make_user, ops)
    hidden = [MARK] * (of.is_bound or of.is_granted) + [CONTENT] * (Scope.READ not in of.scopes)
    before = rows_of(sales)
    is_long = examples > FEW
    for operation in list(every_operation())[:: 1 if is_long else 5]:
        for mode in GenerationMode if is_long else [GenerationMode.POSITIVE]:
            with subtests.test(f"{operation.label} {mode.value}"):
                run(operation, mode, program, known, examples, hidden, sales, before)


def run(
    operation: APIOperation,
    mode: GenerationMode,
    program: Program,
    known: dict[str, list[int]],
    examples: int,
    hidden: list[str],
    other: Account,
    before: list[Any],
) -> None:
    keys = next(keys for path, keys in known.items() if f"{V1}{path}" in operation.label)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(mode),
        pk=st.sampled_from(keys),
        account=st.sampled_from(known["/"]),
        is_known=st.sampled_from((True, True, True, False)),
    )
    def check(case: Any, pk: int, account: int, is_known: bool) -> None:
        if is_known:
            aim(case, pk, account)
        name_secrets(case.body)
        with undone():
            response = case.call(headers={"Authorization": f"Bearer {program.secret}"})
            wanted = CHECKS + ([negative_data_rejection] if mode is GenerationMode.NEGATIVE and not is_known else [])
            case.validate_response(response, checks=wanted)
            assert not [word for word in hidden if word.encode() in response.content]
            assert MARK not in hidden or case.method == "GET" or rows_of(other) == before

    check()


def name_secrets(given: Any) -> None:
    """Make passwords other texts than all else: drawn ones may also be drawn as a name, and be taken for a leak."""
    for name, value in given.items() if isinstance(given, dict) else ():
        if name in ("password", "oauth_token") and isinstance(value, str) and len(value) >= SHORTEST:
            given[name] = f"kept to ourselves {value}"
        name_secrets(value)


def aim(case: Any, pk: int, account: int) -> None:
    """At rows that are there: made-up keys hit none."""
    if "pk" in (case.path_parameters or {}):
        case.path_parameters["pk"] = pk
    if "position" in (case.path_parameters or {}):
        case.path_parameters["position"] = 0
    if isinstance(case.body, dict) and "account_id" in case.body:
        case.body["account_id"] = account
    if "account" in (case.query or {}):
        case.query["account"] = account
