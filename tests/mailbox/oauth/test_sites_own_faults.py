"""A client secret that ended, an encryption key that is missing: told once, no account needs sign-in, and all heals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import Kind
from alerts.problems.find import find_problems
from mailbox.errors import NetworkError, SignInRefused
from mailbox.models import Account, OAuthApp, OAuthGrant
from mailbox.oauth import refresh
from tests.servers.oidc import OidcProvider

pytestmark = pytest.mark.django_db
ENDED = "AADSTS7000222: The provided client secret keys for app 'x' are expired. It was not found."


def now_for(account: Account) -> Account:
    return Account.objects.with_transports().get(pk=account.pk)


@pytest.fixture
def refused(granted: Callable[..., Account], oidc: OidcProvider) -> Account:
    """An account whose grant met a provider that refuses the site."""
    account = granted(expires_in=-1)
    body = {"error": "invalid_client", "error_description": ENDED}
    oidc.control(fail={"count": 1, "status": 401, "body": body})
    with pytest.raises(NetworkError, match="this site's own client id or secret") as said:
        refresh.ensure_fresh(account, "imap")
    assert ENDED not in str(said.value), "on the account's page it would seem to be about the account"
    return account


def test_no_account_needs_sign_in_and_it_heals_when_the_provider_takes_the_site_again(
    refused: Account, oidc: OidcProvider
) -> None:
    assert OAuthGrant.objects.get().failure == "app"
    account = now_for(refused)
    assert (account.imap.needs_sign_in_since, account.smtp.needs_sign_in_since) == (None, None)
    with pytest.raises(NetworkError):
        refresh.ensure_fresh(account, "smtp")
    assert oidc.token_requests() == [401], "not before its time"
    refresh.ensure_fresh(account, "smtp", lambda: timezone.now() + timedelta(seconds=301))
    assert (OAuthGrant.objects.get().failure, OAuthGrant.objects.get().generation) == ("", 2)


def test_a_new_secret_is_tried_at_once(refused: Account, administrator: Client, app: OAuthApp) -> None:
    fields = {"name": app.name, "discovery_url": app.discovery_url, "client_id": app.client_id, "scopes": app.scopes}
    answer = administrator.post(reverse("mailbox:provider", args=[app.pk]), fields | {"client_secret": "s3cret"})
    assert answer.status_code == 302
    refresh.ensure_fresh(now_for(refused), "imap")
    assert OAuthGrant.objects.get().failure == ""


def test_it_is_told_once_however_many_accounts_and_where_it_is_mended(
    refused: Account, administrator: Client, app: OAuthApp, make_user: Callable[..., User]
) -> None:
    grant = OAuthGrant.objects.get()
    grant.pk = None
    grant.save()
    [problem] = [each for each in find_problems(timezone.now()).found if each.kind == Kind.SIGN_IN]
    page = reverse("mailbox:provider", args=[app.pk])
    assert (problem.account_id, problem.path) == (None, page)
    assert "2 accounts wait" in problem.sentence and "AADSTS7000222" in problem.sentence
    board = administrator.get(reverse("dashboard")).content.decode()
    assert "Example refuses this site&#x27;s own client id or secret" in board and page in board
    assert "refuses the site" in administrator.get(reverse("mailbox:providers")).content.decode()
    assert "AADSTS7000222" in administrator.get(page).content.decode()
    state = administrator.get(reverse("mailbox:account", args=[refused.pk])).content.decode()
    assert "nobody needs to sign in again" in state and "AADSTS7000222" not in state
    viewer = Client()
    viewer.force_login(make_user("viewer"))
    assert page not in viewer.get(reverse("dashboard")).content.decode()


def test_a_missing_key_is_said_asks_nobody_and_ends_nothing(
    granted: Callable[..., Account], app: OAuthApp, oidc: OidcProvider, settings: Any
) -> None:
    account, keys = granted(expires_in=-1), settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SignInRefused, match="PRX_EMAIL_ENCRYPTION_KEYS"):
        refresh.ensure_fresh(account, "imap")
    assert OAuthGrant.objects.get().failure == "key" and oidc.token_requests() == []
    assert now_for(account).imap.needs_sign_in_since and now_for(account).smtp.needs_sign_in_since
    settings.ENCRYPTION_KEYS = keys
    refresh.ensure_fresh(account, "imap", lambda: timezone.now() + timedelta(seconds=301))
    assert (OAuthGrant.objects.get().failure, oidc.token_requests()) == ("", [200])


def test_a_grant_that_ended_meanwhile_needs_a_person_all_the_same(refused: Account, oidc: OidcProvider) -> None:
    oidc.control(revoke=True)
    with pytest.raises(SignInRefused, match="invalid_grant"):
        refresh.ensure_fresh(now_for(refused), "imap", lambda: timezone.now() + timedelta(seconds=301))
    assert OAuthGrant.objects.get().failure == "ended" and now_for(refused).smtp.needs_sign_in_since
