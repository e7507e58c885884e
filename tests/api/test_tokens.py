"""Tokens of programs: shown once, stored as a digest, and never more than their user may."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from api import rates, tokens
from api.models import Scope, Token
from api.tokens import Caller, Terms, TokenRefused
from mailbox.models import Account, AccountGrant, AuditEntry
from tests.rows import NOWHERE

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
NOW = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)
HERE = "192.0.2.7"


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def sales(make_account: Callable[..., Account]) -> Account:
    return make_account("sales@example.com", **NOWHERE)


def made(user: User, **terms: Any) -> str:
    defaults: dict[str, Any] = {"name": "billing", "scopes": list(Scope), "expires_at": NOW + timedelta(days=1)}
    return tokens.make(user, Terms(**(defaults | terms)), by=user)[1]


def emails(caller: Caller, scope: Scope) -> list[str]:
    return sorted(account.email for account in caller.accounts(scope))


def status_of(secret: str, address: str = HERE, now: datetime = NOW) -> int:
    try:
        tokens.authenticate(secret, address, now)
    except TokenRefused as error:
        return error.status.value
    return 200


def test_only_the_digest_is_stored_and_the_use_is_noted(make_user: Callable[..., User]) -> None:
    secret = made(make_user("operator"))
    caller = tokens.authenticate(secret, HERE, NOW)
    row = Token.objects.get()
    assert caller.token == row
    assert (row.last_used_at, row.last_address) == (NOW, HERE)
    assert secret not in json.dumps(list(Token.objects.values()), default=str)
    assert secret not in json.dumps(list(AuditEntry.objects.values()), default=str)


def test_what_is_no_valid_token_is_refused(make_user: Callable[..., User]) -> None:
    user = make_user("operator")
    secret = made(user)
    for wrong in ("", "prx_", secret[:-1], secret + "x", secret.upper(), "\ud800", "ü" * 99):
        assert status_of(wrong) == HTTPStatus.UNAUTHORIZED, ascii(wrong)
    assert status_of(secret, now=NOW + timedelta(days=1)) == HTTPStatus.UNAUTHORIZED, "it expired"
    assert status_of(secret) == HTTPStatus.OK
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert status_of(secret) == HTTPStatus.UNAUTHORIZED, "its user was switched off"
    User.objects.filter(pk=user.pk).update(is_active=True)
    tokens.end(Token.objects.get(), by=user)
    assert status_of(secret) == HTTPStatus.UNAUTHORIZED, "it was ended"


@pytest.mark.parametrize(
    "networks, address, status",
    [
        ([], "203.0.113.9", 200),
        (["192.0.2.0/24"], HERE, 200),
        (["192.0.2.0/24"], "192.0.3.1", 403),
        (["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", 200),
        (["192.0.2.0/24"], "2001:db8::1", 403),
        (["0.0.0.0/0"], "", 403),
    ],
)
def test_it_opens_from_its_networks_only(
    make_user: Callable[..., User], networks: list[str], address: str, status: int
) -> None:
    assert status_of(made(make_user("viewer"), networks=networks), address) == status


def test_above_its_rate_it_waits_for_the_next_minute(make_user: Callable[..., User]) -> None:
    secret = made(make_user("viewer"), per_minute=2)
    assert [status_of(secret) for _ in range(3)] == [200, 200, 429]
    assert [status_of(secret, now=NOW + timedelta(minutes=1)) for _ in range(3)] == [200, 200, 429]


def test_many_requests_are_counted_by_few_writes_and_are_never_more_than_the_rate(
    make_user: Callable[..., User],
) -> None:
    secret = made(make_user("viewer"), per_minute=400)
    with CaptureQueriesContext(connection) as asked:
        assert {status_of(secret) for _ in range(300)} == {200}
    assert sum(each["sql"].startswith("UPDATE") for each in asked) < 100
    assert 300 <= Token.objects.get().in_minute <= 304
    rates._taken.clear()  # another process, which knows nothing of what this one took and did not use
    answers = [status_of(secret) for _ in range(110)]
    assert 96 <= answers.count(200) <= 100 and set(answers[answers.count(200) :]) == {429}


def test_its_last_use_is_seconds_old_at_the_most_and_its_address_the_last(make_user: Callable[..., User]) -> None:
    secret = made(make_user("viewer"))
    for seconds, address in ((0, HERE), (0, HERE), (0, HERE), (6, HERE), (6, "192.0.2.77")):
        at = NOW + timedelta(seconds=seconds)
        assert status_of(secret, address, at) == 200
        row = Token.objects.get()
        assert row.last_used_at is not None and at - row.last_used_at <= rates.KEPT
        assert row.last_address == address


def test_it_covers_its_accounts_where_its_user_has_the_role(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=ops, role="operator")
    AccountGrant.objects.create(user=user, account=sales, role="viewer")
    everything = tokens.authenticate(made(user), HERE, NOW)
    assert emails(everything, Scope.READ) == ["ops@example.com", "sales@example.com"]
    assert emails(everything, Scope.SEND) == emails(everything, Scope.OPERATE) == ["ops@example.com"]
    assert emails(everything, Scope.ADMINISTER) == []
    one = tokens.authenticate(made(user, accounts=[sales]), HERE, NOW)
    assert emails(one, Scope.READ) == ["sales@example.com"]
    assert emails(one, Scope.SEND) == [], "a token gives no role that its user lacks"


def test_it_gives_no_more_than_its_scopes(make_user: Callable[..., User], ops: Account) -> None:
    caller = tokens.authenticate(made(make_user("administrator"), scopes=[Scope.READ]), HERE, NOW)
    assert emails(caller, Scope.READ) == ["ops@example.com"]
    for scope in (Scope.SEND, Scope.OPERATE, Scope.ADMINISTER):
        with pytest.raises(TokenRefused, match=scope.value) as refusal:
            caller.accounts(scope)
        assert refusal.value.status == HTTPStatus.FORBIDDEN


def test_a_token_whose_accounts_were_deleted_covers_none(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    secret = made(make_user("administrator"), accounts=[ops])
    ops.delete()
    assert emails(tokens.authenticate(secret, HERE, NOW), Scope.READ) == []


FORM = {"name": "billing", "scopes": ["read"], "accounts": "", "networks": "", "per_minute": 60, "days": 30}


def test_the_page_shows_a_new_token_once(client: Client, make_user: Callable[..., User], ops: Account) -> None:
    user = make_user("operator")
    client.force_login(user)
    given = FORM | {"accounts": " OPS@example.com \n", "networks": "192.0.2.0/24, 2001:db8::/32"}
    response = client.post(reverse("api:tokens"), given)
    secret = response.context["secret"]
    assert secret in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    assert secret not in client.get(reverse("api:tokens")).content.decode()
    token = Token.objects.get(user=user)
    assert ([account.email for account in token.accounts.all()], token.all_accounts) == (["ops@example.com"], False)
    assert token.networks == ["192.0.2.0/24", "2001:db8::/32"]
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert AuditEntry.objects.get().verb == "make_token"


@pytest.mark.parametrize(
    "field, wrong",
    [
        ("name", ""),
        ("scopes", []),
        ("scopes", ["everything"]),
        ("accounts", "sales@example.com"),
        ("networks", "192.0.2.1/24"),
        ("networks", "everywhere"),
        ("per_minute", 0),
        ("days", 0),
        ("days", 4000),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(
    client: Client, make_user: Callable[..., User], ops: Account, sales: Account, field: str, wrong: Any
) -> None:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=ops, role="operator")
    client.force_login(user)
    response = client.post(reverse("api:tokens"), FORM | {field: wrong})
    assert list(response.context["form"].errors) == [field]
    assert not Token.objects.exists()


def test_a_user_has_fifty_at_most(client: Client, make_user: Callable[..., User]) -> None:
    user = make_user("viewer")
    for _ in range(tokens.MOST_OF_A_USER):
        made(user)
    client.force_login(user)
    assert "end one first" in client.post(reverse("api:tokens"), FORM).content.decode()
    assert Token.objects.count() == tokens.MOST_OF_A_USER


def test_one_sees_and_ends_the_own_and_administrators_all(client: Client, make_user: Callable[..., User]) -> None:
    ann, bob, chief = make_user("operator"), make_user("operator"), make_user("administrator")
    made(ann, name="of ann")
    token = Token.objects.get()
    client.force_login(bob)
    assert "of ann" not in client.get(reverse("api:tokens")).content.decode()
    assert client.post(reverse("api:token_end", args=[token.pk])).status_code == 403
    for user in (ann, chief):
        client.force_login(user)
        assert "of ann" in client.get(reverse("api:tokens")).content.decode()
    client.force_login(ann)
    assert client.post(reverse("api:token_end", args=[token.pk])).status_code == 302
    assert client.post(reverse("api:token_end", args=[token.pk])).status_code == 404
    assert AuditEntry.objects.latest("pk").verb == "end_token"


def run(*arguments: str) -> Any:
    out = io.StringIO()
    call_command("token", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())["data"]


def test_the_command_makes_lists_and_ends(make_user: Callable[..., User], ops: Account) -> None:
    user = make_user("operator", "ann")
    answer = run("ann", "--name", "cron", "--scope", "send", "--scope", "read", "--account", ops.email)
    caller = tokens.authenticate(answer["token"], HERE, timezone.now())
    assert (caller.token.user, emails(caller, Scope.SEND)) == (user, [ops.email])
    (listed,) = run("--list")
    assert (listed["name"], listed["scopes"], listed["accounts"]) == ("cron", ["read", "send"], [ops.email])
    assert "token" not in listed
    run("--end", str(listed["id"]))
    assert run("--list") == []


@pytest.mark.parametrize(
    "arguments", [["nobody", "--scope", "read"], ["ann"], ["ann", "--scope", "read", "--days", "0"], ["--end", "7"]]
)
def test_the_command_refuses_in_words(
    make_user: Callable[..., User], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    make_user("operator", "ann")
    out = io.StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("token", *arguments, "--json", stdout=out)
    assert left.value.code == 1
    assert json.loads(out.getvalue())["error"]["code"] == "Validation"
    assert not Token.objects.exists()


def test_an_ended_token_is_no_longer_ended_but_removed(client: Client, make_user: Callable[..., User]) -> None:
    user = make_user("operator")
    made(user, name="over")  # in May
    made(user, name="valid", expires_at=timezone.now() + timedelta(days=1))
    client.force_login(user)
    page = client.get(reverse("api:tokens")).content.decode()
    assert 'End<span class="visually-hidden"> valid</span>' in page
    assert 'Remove<span class="visually-hidden"> over</span>' in page and "> over</span></button>" in page
    assert page.count("End<span") == 1
    over = Token.objects.get(name="over")
    answer = client.post(reverse("api:token_end", args=[over.pk]), follow=True).content.decode()
    assert "The token is removed; it had ended before." in answer
    assert list(Token.objects.values_list("name", flat=True)) == ["valid"]
