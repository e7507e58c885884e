"""Refresh tokens that lapse when unused are used in time, also of accounts that nobody fetches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from mailbox import network
from mailbox.models import Account, OAuthApp, OAuthGrant, Transport
from mailbox.oauth import grant_upkeep, lifetimes
from mailbox.oauth.protocol import Tokens
from mailbox.tasks import oauth as oauth_tasks
from tests.servers.oidc import OidcProvider

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def test_half_of_the_idle_time_of_each_provider_is_left_when_it_is_used() -> None:
    now, answer = timezone.now(), Tokens("access", refresh_token="refresh", expires_in=3600)
    for kind, days in (("google", 180), ("microsoft", 90)):
        kept = lifetimes.columns(OAuthGrant(app=OAuthApp(kind=kind), flow="person"), answer, now)
        assert (kept["use_refresh_by"] - now, kept["refresh_expires_at"] - now) == (days / 2 * DAY, days * DAY)
    told = Tokens("access", refresh_token="refresh", expires_in=3600, refresh_expires_in=600)
    kept = lifetimes.columns(OAuthGrant(app=OAuthApp(kind="google"), flow="person"), told, now)
    assert (kept["refresh_expires_at"] - now).total_seconds() == 600, "what the provider says goes before"
    kept = lifetimes.columns(OAuthGrant(app=OAuthApp(kind="google"), flow="application"), Tokens("access"), now)
    assert kept["use_refresh_by"] is None, "there is no refresh token"


def test_the_clock_uses_it_though_the_account_is_not_fetched_and_its_access_token_is_good(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    now = timezone.now()
    account = granted(use_refresh_by=now + DAY, refresh_expires_at=now + 2 * DAY, expires_in=3 * 86400)
    Account.objects.filter(pk=account.pk).update(sync_enabled=False, send_enabled=False)
    oauth_tasks.oauth_keep()
    assert oidc.token_requests() == [], "half of its time is left"
    before = OAuthGrant.objects.get()
    assert grant_upkeep.use_in_time(lambda: now + DAY) == 1
    after = OAuthGrant.objects.get()
    assert oidc.token_requests() == [200] and after.refresh_token != before.refresh_token
    assert after.generation == before.generation + 1 and after.failure == ""


def test_one_that_the_provider_refuses_holds_up_no_other_and_asks_for_a_person(
    granted: Callable[..., Account],
    make_account: Callable[..., Account],
    oidc: OidcProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    past = timezone.now() - DAY
    first = granted(use_refresh_by=past - DAY, expires_in=-1)
    good = OAuthGrant.objects.get()
    revoked = OAuthGrant(app=good.app, flow="person", identity="ann@example.test", use_refresh_by=past - 2 * DAY)
    revoked.access_token, revoked.refresh_token, revoked.expires_at = "ended", "never given", past
    revoked.save()
    Transport.objects.filter(pk=first.smtp.pk).update(grant=revoked)
    caplog.set_level(logging.WARNING)
    oauth_tasks.oauth_keep()
    assert OAuthGrant.objects.get(pk=good.pk).generation == good.generation + 1
    now = Account.objects.with_transports().get(pk=first.pk)
    assert OAuthGrant.objects.get(pk=revoked.pk).failure == "ended" and now.smtp.needs_sign_in_since
    assert now.imap.needs_sign_in_since is None
    assert "oauth_use_in_time_failed" in caplog.text and "never given" not in caplog.text
    asked = len(oidc.token_requests())
    oauth_tasks.oauth_keep()
    assert len(oidc.token_requests()) == asked, "a dead one is not asked for again"


def test_a_site_that_is_off_the_network_asks_nobody(
    granted: Callable[..., Account], oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted(use_refresh_by=timezone.now() - DAY)
    monkeypatch.setattr(network, "is_off", lambda: True)
    oauth_tasks.oauth_keep()
    assert oidc.token_requests() == []


def test_a_grant_that_no_account_signs_in_by_is_let_go_of(granted: Callable[..., Account]) -> None:
    account, now = granted(), timezone.now()
    spare = OAuthGrant(app=account.imap.grant.app, flow="person")
    spare.access_token = "of nobody"
    spare.save()
    assert grant_upkeep.tidy(lambda: now) == 0, "one made a moment ago may be about to be used"
    assert grant_upkeep.tidy(lambda: now + DAY) == 1
    assert OAuthGrant.objects.get() == account.imap.grant, "this one is in use"
