"""Every address of the site, tried by everyone: who is let in, who is sent away, and with which answer.

A new address without an expectation in tests/addresses.py fails `test_each_address_has_its_expectation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from mailbox.models import (
    Account,
    AccountGrant,
    AuditEntry,
)
from tests.addresses import (
    ADMINISTRATOR,
    EVERYWHERE,
    EXPECTED,
    OPEN,
    OPERATOR,
    ROLES,
    SIGNED_IN,
    SOMEWHERE,
    Expected,
    probes_ask_in_this_thread,
    rows,
)
from tests.rows import NOWHERE

__all__ = ["probes_ask_in_this_thread", "rows"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def every_name() -> Iterator[str]:
    def within(resolver: URLResolver, space: str) -> Iterator[str]:
        for each in resolver.url_patterns:
            if isinstance(each, URLPattern):
                yield f"{space}{each.name}"
            elif each.namespace not in ("admin", "v1"):  # tried in test_admin and test_http_api
                yield from within(each, f"{each.namespace}:" if each.namespace else space)

    yield from within(get_resolver(), "")


def test_each_address_has_its_expectation() -> None:
    assert sorted(every_name()) == sorted(EXPECTED)


@pytest.fixture
def people(account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]) -> dict[str, User]:
    """A user for each role over all accounts, each role over this account, and each role over another one."""
    other = make_account("other@example.com", **NOWHERE)
    found = {"nobody": make_user("")}
    for role in ROLES:
        found[role] = make_user(role)
        for where, its in (("here", account), ("elsewhere", other)):
            found[f"{role} {where}"] = make_user("")
            AccountGrant.objects.create(user=found[f"{role} {where}"], account=its, role=role)
    return found


def allowed(needed: str, expected: Expected, person: str) -> int:
    """The answer a person is to get: 200 stands for any answer that lets in."""
    role, _, where = person.partition(" ")
    if not needed:
        return 405
    if needed in (OPEN, SIGNED_IN):
        return 200
    if needed == "own":  # of somebody who is not among these people
        return 404
    if needed == SOMEWHERE:
        return 200 if role in (OPERATOR, ADMINISTRATOR) else 403
    if needed == EVERYWHERE:
        return 200 if not where and role in ROLES and ROLES.index(role) >= ROLES.index(expected.everywhere) else 403
    if role not in ROLES or where == "elsewhere":
        return 404
    return 200 if ROLES.index(role) >= ROLES.index(needed) else 403


def answer(client: Client, method: str, url: str) -> int:
    status: int = getattr(client, method)(url).status_code
    # 410: let in, and told that a link is over. 422: let in, and told what the form lacks.
    return 200 if status in (200, 204, 302, 410, 422) else status


@contextmanager
def undone() -> Iterator[None]:
    """What the block writes is taken back: the rows, which take most of the time, are made once for many addresses."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def signed_in(user: User) -> Callable[[], Client]:
    """Makes clients of one session: an answer may end a client's, and what it wrote is undone."""
    first = Client()
    first.force_login(user)

    def client() -> Client:
        another = Client()
        another.cookies[settings.SESSION_COOKIE_NAME] = first.cookies[settings.SESSION_COOKIE_NAME].value
        return another

    return client


def url_of(name: str, rows: dict[str, int]) -> str:
    return reverse(name, args=[*(rows[each] for each in EXPECTED[name].names), *EXPECTED[name].args])


TOGETHER = 12
PARTS = [list(EXPECTED)[at : at + TOGETHER] for at in range(0, len(EXPECTED), TOGETHER)]


def nearest(due: dict[str, int]) -> set[str]:
    """Of all who get the same answer, those nearest to another: the last that is refused, the first that is let in.

    `people` come by role, the least first.
    """
    last_refused = {code: person for person, code in due.items() if code != 200}
    return {*last_refused.values(), *[person for person, code in due.items() if code == 200][:1]}


@pytest.mark.parametrize("everybody", [False, pytest.param(True, marks=pytest.mark.long)], ids=["nearest", "everybody"])
@pytest.mark.parametrize("names", PARTS, ids=lambda names: f"{names[0]} and so on")
@pytest.mark.in_part(2)
def test_each_person_gets_the_answer_due(
    rows: dict[str, int], people: dict[str, User], names: list[str], everybody: bool, subtests: pytest.Subtests
) -> None:
    clients = {person: signed_in(user) for person, user in people.items()}
    for name in names:
        with subtests.test(name), undone():
            expected, url = EXPECTED[name], url_of(name, rows)
            for method, needed in (("get", expected.to_read), ("post", expected.to_post)):
                due = {person: allowed(needed, expected, person) for person in people}
                due = due if everybody else {person: due[person] for person in sorted(nearest(due))}
                # Whoever is let in comes last, and is one when it changes something: a delete leaves nothing to try
                # others on.
                refused = [person for person, code in due.items() if code != 200]
                let_in = [person for person, code in due.items() if code == 200][: 1 if method == "post" else None]
                for person in refused + let_in:
                    got = answer(clients[person](), method, url)
                    assert got == due[person] or (not needed and got in (403, 404)), f"{method} {url} as {person}"


@pytest.mark.parametrize("names", PARTS, ids=lambda names: f"{names[0]} and so on")
def test_signed_out_one_is_asked_to_sign_in(rows: dict[str, int], names: list[str], subtests: pytest.Subtests) -> None:
    for name in names:
        with subtests.test(name), undone():
            expected, url = EXPECTED[name], url_of(name, rows)
            for method, needed in (("get", expected.to_read), ("post", expected.to_post)):
                response = getattr(Client(), method)(url)
                if (name, method) == ("outbox:compose", "post"):  # a page that keeps what was typed, and nothing else
                    assert response.status_code == 401
                elif needed == OPEN:
                    assert response.status_code in (200, 410)  # 410: a link that is over
                else:
                    to_login = response.status_code == 302 and response.url.startswith(reverse("login"))
                    assert to_login or (not needed and response.status_code in (404, 405)), f"{method} {url}"
            assert not AuditEntry.objects.exists()


def test_no_form_is_taken_without_its_token(
    make_user: Callable[..., Any], rows: dict[str, int], subtests: pytest.Subtests
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("administrator"))
    for name in [name for name, expected in EXPECTED.items() if expected.to_post]:
        with subtests.test(name), undone():
            response = client.post(url_of(name, rows))
            assert response.status_code == 403
            assert "The form was too old" in response.content.decode()
            assert not AuditEntry.objects.exists()
