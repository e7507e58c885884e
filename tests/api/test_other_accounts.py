"""Whatever a token or a person of one account asks for, no answer has a word of another account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from api.models import Scope
from mailbox.models import Account, AccountGrant, Message
from mailbox.search.index import index_messages
from tests.api.calling import Program, ops, sales
from tests.api.marking import mark, mark_content
from tests.api.operation import Operation
from tests.api.operations import operations
from tests.test_every_address import undone

__all__ = ["ops", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
WORD = "of-nobody-elses-concern"
# Lists as the table of operations does not ask for them: of all accounts, and with what sorts, groups or looks for.
LISTS = (
    "/accounts",
    "/activity",
    f"/activity?q={WORD}",
    "/attachments",
    f"/attachments?q={WORD}",
    "/drafts",
    "/events?after=0",
    "/events/stream?after=0",
    "/health",
    "/messages",
    "/messages?by=conversation",
    "/messages?order=oldest",
    f"/messages/search?q={WORD}",
    f"/messages/search?q=subject:{WORD}",
    "/outbox",
    f"/outbox?q={WORD}",
    "/quarantine",
    "/runs",
    "/saved-replies",
    "/storage",
    "/suppressed",
    "/suppressed/csv",
    f"/suppressed?q={WORD}",
)
SHOWN_BY_NUMBERS = {"/storage"}


@pytest.fixture
def tables(ops: Account, sales: Account) -> dict[str, dict[str, Operation]]:
    """The operations on rows of `ops` and of `sales`; the word is in all texts of the second."""
    found = {"ops": operations(ops), "sales": operations(sales)}
    marked = mark(sales, WORD)
    expected = {"mailbox.Message", "mailbox.Quarantine", "outbox.OutboxMessage", "outbox.Draft", "outbox.SavedReply"}
    assert marked >= expected, "the table of operations makes rows of these"
    index_messages(list(Message.objects.filter(account=sales)))
    return found


def everything(tables: dict[str, dict[str, Operation]]) -> Iterator[tuple[str, Operation]]:
    for whose, table in tables.items():
        yield from ((f"{name} of {whose}", each) for name, each in table.items())
    yield from ((path, Operation("get", path)) for path in LISTS)


def body_of(answered: Any) -> bytes:
    return b"".join(answered.streaming_content) if answered.streaming else bytes(answered.content)


@pytest.fixture(
    params=[
        "a token for one account",
        "an administrator of one",
        *(pytest.param(kind, marks=pytest.mark.long) for kind in ("an operator of one", "a viewer of one")),
    ]
)
def limited(
    request: pytest.FixtureRequest, make_user: Callable[..., User], ops: Account, tables: dict[str, Any]
) -> Program:
    if request.param == "a token for one account":
        return Program(make_user("administrator"), accounts=[ops], per_minute=100_000)
    person = make_user("")
    AccountGrant.objects.create(user=person, account=ops, role=request.param.split()[1])
    return Program(person, per_minute=100_000)


def test_no_answer_has_a_word_of_another_account(
    limited: Program, tables: dict[str, dict[str, Operation]], sales: Account, subtests: pytest.Subtests
) -> None:
    for name, each in everything(tables):
        with subtests.test(name), undone():
            answered = limited.ask(each.method, each.path, each.body)
            assert WORD.encode() not in body_of(answered)
            assert WORD not in str(answered.headers)
            if name.endswith("of sales") and each.of == "account":
                assert answered.status_code in (403, 404)
    for path in LISTS:
        with subtests.test(f"{path} of the other account"):
            joint = "&" if "?" in path else "?"
            assert limited.get(f"{path}{joint}account={sales.pk}").status_code in (404, 422)


def test_the_word_is_seen_by_who_may(
    make_user: Callable[..., User], tables: dict[str, dict[str, Operation]], subtests: pytest.Subtests
) -> None:
    """Else the test above proves nothing."""
    chief = Program(make_user("administrator"), per_minute=100_000)
    assert WORD in body_of(chief.get("/saved-replies")).decode()
    for path in LISTS:
        with subtests.test(path):
            found = body_of(chief.get(path)).decode()
            assert (WORD in found) == (path not in SHOWN_BY_NUMBERS | {"/drafts"}), found


@pytest.mark.parametrize("scope", [each for each in Scope if each != Scope.READ])
def test_without_the_scope_read_no_answer_has_a_word_of_a_mail(
    make_user: Callable[..., User], ops: Account, scope: Scope, subtests: pytest.Subtests
) -> None:
    """Also none that is about a mail: whoever retries, acknowledges or exports need not see what it says."""
    chief = make_user("administrator")
    table = operations(ops)
    mark_content(WORD)
    program = Program(chief, scopes=[scope], per_minute=100_000)
    for name, each in table.items():
        if each.scope == scope:
            with subtests.test(name), undone():
                assert WORD.encode() not in body_of(program.ask(each.method, each.path, each.body))
