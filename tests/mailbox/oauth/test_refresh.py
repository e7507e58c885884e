"""An access token is kept good: refreshed in time, once, and only the provider's own no needs a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from mailbox.errors import NetworkError, SignInRefused
from mailbox.models import Account, OAuthGrant
from mailbox.oauth import refresh
from mailbox.oauth.refresh import RefreshStep
from tests.servers.oidc import OidcProvider

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=59)
LATER = NOW + timedelta(seconds=61)
PAST = NOW - timedelta(seconds=1)
DAY = timedelta(days=1)
AHEAD = NOW + DAY  # no right clock writes such a lease
pytestmark = pytest.mark.django_db


def grant_of(account: Account) -> OAuthGrant:
    return OAuthGrant.objects.get(pk=account.imap.grant_id)


def now_for(account: Account) -> Account:
    return Account.objects.with_transports().get(pk=account.pk)


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"expires_at": LATER}, RefreshStep.USE),
        ({"expires_at": None}, RefreshStep.USE),
        ({"expires_at": SOON}, RefreshStep.REFRESH),
        ({"expires_at": LATER, "must_refresh": True}, RefreshStep.REFRESH),
        ({"expires_at": PAST, "lease_expires_at": LATER}, RefreshStep.WAIT),
        ({"expires_at": SOON, "lease_expires_at": LATER}, RefreshStep.USE),
        ({"expires_at": LATER, "lease_expires_at": LATER, "must_refresh": True}, RefreshStep.WAIT),
        ({"expires_at": PAST, "lease_expires_at": PAST}, RefreshStep.REFRESH),
        ({"expires_at": PAST, "lease_expires_at": AHEAD}, RefreshStep.REFRESH),
        ({"expires_at": PAST, "next_allowed_at": NOW + 10 * DAY}, RefreshStep.REFRESH),
        ({"expires_at": PAST, "next_allowed_at": LATER}, RefreshStep.LATER),
        ({"expires_at": SOON, "next_allowed_at": LATER}, RefreshStep.USE),
        ({"expires_at": PAST, "next_allowed_at": PAST}, RefreshStep.REFRESH),
        ({"expires_at": PAST, "failure": "ended"}, RefreshStep.SIGN_IN),
        ({"expires_at": SOON, "failure": "ended"}, RefreshStep.USE),
        ({"expires_at": PAST, "failure": "app", "next_allowed_at": LATER}, RefreshStep.LATER),
        ({"expires_at": PAST, "failure": "key", "next_allowed_at": PAST}, RefreshStep.REFRESH),
        ({"expires_at": PAST, "encrypted_refresh_token": None}, RefreshStep.SIGN_IN),
        ({"expires_at": PAST, "encrypted_refresh_token": None, "flow": "application"}, RefreshStep.REFRESH),
    ],
)
def test_what_to_do_is_decided_from_the_row(fields: dict[str, object], step: RefreshStep) -> None:
    given = {"flow": "person", "encrypted_access_token": "a", "encrypted_refresh_token": "r", **fields}
    assert refresh.plan(OAuthGrant(**given), NOW) is step


def test_a_token_with_time_left_asks_nobody(granted: Callable[..., Account], oidc: OidcProvider) -> None:
    account = granted()
    before = account.imap.oauth_token
    refresh.ensure_fresh(account, "imap")
    assert (account.imap_endpoint().oauth_token, oidc.token_requests()) == (before, [])


def test_a_token_about_to_end_is_refreshed_for_both_transports(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    account = granted(expires_in=59)
    before = grant_of(account)
    refresh.ensure_fresh(account, "imap")
    after = grant_of(account)
    assert account.imap_endpoint().oauth_token == after.access_token != before.access_token
    assert now_for(account).smtp_endpoint().oauth_token == after.access_token
    assert (after.generation, after.refresh_token != before.refresh_token) == (2, True)
    assert (after.asked_at, after.lease_token, after.lease_expires_at) == (None, "", None)
    assert oidc.token_requests() == [200]


def test_a_refused_token_is_refreshed_once_and_then_a_person_is_asked(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    account = granted()
    account.imap.mark_needs_sign_in("AUTHENTICATIONFAILED", timezone.now())
    assert now_for(account).imap.needs_sign_in_since is None
    account = now_for(account)
    refresh.ensure_fresh(account, "imap")
    assert oidc.token_requests() == [200]
    account.imap.mark_needs_sign_in("AUTHENTICATIONFAILED again", timezone.now())
    marked = now_for(account).imap
    assert (marked.needs_sign_in_since is not None, marked.last_reply) == (True, "AUTHENTICATIONFAILED again")


def test_a_refusal_of_a_token_that_was_refreshed_meanwhile_says_nothing(granted: Callable[..., Account]) -> None:
    account, beside = granted(expires_in=10), None
    beside = now_for(account)
    refresh.ensure_fresh(beside, "smtp")
    OAuthGrant.objects.update(is_after_refusal=True)
    account.imap.mark_needs_sign_in("535 too late", timezone.now())
    assert now_for(account).imap.needs_sign_in_since is None
    assert grant_of(account).must_refresh is False


def test_a_revoked_grant_needs_a_person_and_says_the_providers_words(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    account = granted(expires_in=-1)
    oidc.control(revoke=True)
    with pytest.raises(SignInRefused, match="invalid_grant"):
        refresh.ensure_fresh(account, "imap")
    assert grant_of(account).failure == "ended"
    account = now_for(account)
    assert account.imap.needs_sign_in_since and account.smtp.needs_sign_in_since
    with pytest.raises(SignInRefused):
        refresh.ensure_fresh(account, "smtp")
    assert oidc.token_requests() == [400]  # asked once, by both


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"status": 503}, 10),
        ({"status": 500, "body": {"error": "invalid_grant"}}, 10),
        ({"status": 429, "headers": {"Retry-After": "77"}}, 77),
        ({"status": 400, "body": {"error": "temporarily_unavailable"}}, 10),
        ({"status": 400, "body": {"error": "invalid_request"}}, 10),
        ({"status": 200, "body": {"no": "token"}}, 10),
    ],
)
def test_what_is_no_refusal_is_waited_out_and_marks_nothing(
    granted: Callable[..., Account], oidc: OidcProvider, answer: dict[str, object], seconds: int
) -> None:
    account, now = granted(expires_in=-1), timezone.now()
    oidc.control(fail={"count": 1, **answer})
    with pytest.raises(NetworkError):
        refresh.ensure_fresh(account, "imap", lambda: now)
    grant = grant_of(account)
    assert (grant.failure, grant.failure_count, grant.next_allowed_at) == ("", 1, now + timedelta(seconds=seconds))
    assert now_for(account).imap.needs_sign_in_since is None
    with pytest.raises(NetworkError):
        refresh.ensure_fresh(account, "imap", lambda: now)
    assert len(oidc.token_requests()) == 1  # not before its time
    refresh.ensure_fresh(account, "imap", lambda: now + timedelta(seconds=seconds + 1))
    assert grant_of(account).failure_count == 0


def test_a_provider_that_is_down_leaves_a_token_in_use_that_is_still_good(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    account = granted(expires_in=30)
    before = account.imap.oauth_token
    oidc.stop()
    refresh.ensure_fresh(account, "imap")
    assert account.imap_endpoint().oauth_token == before
    assert (grant_of(account).failure_count, grant_of(account).asked_at) == (1, None)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_refuses_for_a_while_loses_no_rotated_token(
    granted: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    account, real, refusals = granted(expires_in=-1), refresh.store, iter([True, True])

    def refusing(*arguments: object) -> bool:
        if next(refusals, False):
            raise OperationalError("database is locked")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(refresh, "store", refusing)
    refresh.ensure_fresh(account, "imap")
    assert grant_of(account).generation == 2


def test_an_answer_lost_on_its_way_is_said_when_the_provider_then_ends_the_grant(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    account, now = granted(expires_in=-1), timezone.now()
    oidc.control(lose=1)
    with pytest.raises(NetworkError):
        refresh.ensure_fresh(account, "imap", lambda: now)
    with pytest.raises(SignInRefused, match="answer to an earlier refresh") as said:
        refresh.ensure_fresh(account, "imap", lambda: now + timedelta(seconds=11))
    assert f"{now:%Y-%m-%d %H:%M:%S}" in str(said.value)
    assert oidc.token_requests() == [200, 400]


def test_an_answer_lost_on_its_way_is_no_harm_where_refresh_tokens_are_good_again(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    oidc.control(rotate=False)
    account, now = granted(expires_in=-1), timezone.now()
    oidc.control(lose=1)
    with pytest.raises(NetworkError):
        refresh.ensure_fresh(account, "imap", lambda: now)
    refresh.ensure_fresh(account, "imap", lambda: now + timedelta(seconds=11))
    assert (grant_of(account).generation, grant_of(account).answer_lost_at) == (2, None)


def test_no_secret_stands_in_what_is_kept_of_a_refusal(granted: Callable[..., Account], oidc: OidcProvider) -> None:
    account = granted(expires_in=-1)
    token = grant_of(account).refresh_token or ""
    oidc.control(fail={"count": 1, "status": 400, "body": {"error": "invalid_grant", "error_description": token}})
    with pytest.raises(SignInRefused):
        refresh.ensure_fresh(account, "imap")
    assert token not in grant_of(account).last_reply
    assert "***" in grant_of(account).last_reply
