"""The calendar of everything that ends, and its alerts 30, 7 and 1 days before."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import AlertRule, Webhook
from alerts.problems import expiries
from api.models import Token
from mailbox.accounts import seen_certificates
from mailbox.errors import SignInRefused
from mailbox.models import Account, ConnectionTest, OAuthApp, OAuthGrant, SeenCertificate, Transport
from mailbox.sync import account_session
from outbox import connection_test
from outbox.delivery.database import Database, complete
from outbox.delivery.endpoint import open_session
from outbox.delivery.timeouts import Times
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.mail import Watch
from tests.mailbox.push.listeners import Heard, listen
from tests.rows import NOWHERE, folder_of
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until

__all__ = ["listen"]
pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def in_days(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


@pytest.fixture
def everything(make_account: Callable[..., Account], certificates: Certificates) -> Account:
    """An account and a registration with an end of each kind."""
    app = OAuthApp.objects.create(kind="microsoft", name="Microsoft", secret_ends_on=in_days(5).date())
    grant = OAuthGrant(app=app, flow="person", refresh_expires_at=in_days(60), expires_at=in_days(0.04))
    grant.access_token, grant.refresh_token = "a", "r"
    grant.save()
    granted = {"imap_password": None, "imap_grant": grant}
    account = make_account("ann@example.com", **NOWHERE, **granted, ca_certificate=certificates.ca_pem)
    account.smtp.password, account.smtp.oauth_token = None, "pasted"
    account.smtp.oauth_expires_at = in_days(0.5)
    account.smtp.save()
    SeenCertificate.objects.create(host="localhost", port=1, ends_at=in_days(20))
    rule = AlertRule(channel="webhook", url="https://hooks.example")
    rule.secret = "s"
    rule.save()
    return account


def test_the_soonest_stands_first(everything: Account) -> None:
    found = [each.key.partition(":")[0] for each in expiries.all_expiries()]
    assert found[:4] == ["token", "app", "certificate", "grant"]
    assert set(found[4:]) == {"authority", "encryption_key", "webhook"}


def test_the_page_shows_each_and_no_secret(everything: Account, client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("administrator"))
    page = client.get(reverse("alerts:endings")).content.decode()
    assert "The client secret at Microsoft" in page and "The certificate of localhost:1" in page
    assert "pasted" not in page


@pytest.mark.parametrize(("days", "stage"), [(31, None), (29, 30), (8, 30), (6.5, 7), (2, 7), (0.9, 1), (-3, 1)])
def test_it_is_told_thirty_seven_and_one_days_before(days: float, stage: int | None) -> None:
    ending = expiries.Expiry("app:1", "The client secret", NOW + timedelta(days=days), "", "/")
    assert expiries.stage_of(ending, NOW) == stage


def test_the_end_of_a_servers_certificate_is_noted_when_a_worker_connects(
    make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = Account.objects.with_transports().get(pk=make_account().pk)
    with account_session.connect(account, timezone.now):
        pass
    row = SeenCertificate.objects.get(host=dovecot.host, port=dovecot.imap_port)
    assert timedelta(days=363) < row.ends_at - timezone.now() <= timedelta(days=365)
    assert Transport.objects.filter(host=row.host, port=row.port).exists()


def seen(account: Account, kind: str) -> SeenCertificate | None:
    its: Transport = getattr(account, kind)
    return SeenCertificate.objects.filter(host=its.host, port=its.port).first()


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Another test may have seen the same servers, whose rows are gone."""
    seen_certificates._noted.clear()


def test_it_is_noted_by_a_connection_test_on_both_sides(make_account: Callable[..., Account], dovecot: Dovecot) -> None:
    account = make_account()
    connection_test.run(ConnectionTest.objects.create(account=account).pk)
    assert seen(account, "imap") and seen(account, "smtp")


def test_it_is_noted_when_the_server_then_refuses_the_sign_in(
    make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = Account.objects.with_transports().get(pk=make_account(imap_password="wrong", smtp_password="wrong").pk)
    with pytest.raises(SignInRefused):
        account_session.connect(account, timezone.now)
    with pytest.raises(SmtpFailure):
        database = Database()
        complete(open_session(account, Times.from_settings().patience, Watch(), database))
    assert seen(account, "imap") and seen(account, "smtp")


@pytest.mark.django_db(transaction=True)
def test_it_is_noted_by_the_listener_for_new_mail(
    make_account: Callable[..., Account], dovecot: Dovecot, listen: Callable[..., Heard]
) -> None:
    account = make_account()
    folder_of(account, "INBOX")
    listen().wait_for(account, "connected")
    wait_until(lambda: seen(account, "imap") is not None, seconds=20, what="the certificate in its row")


def kinds_of(found: list[expiries.Expiry]) -> set[str]:
    return {each.key.rpartition(":")[0] for each in found}


def test_a_grant_of_the_outgoing_side_alone_a_providers_ca_and_a_programs_token_end_too(
    everything: Account, certificates: Certificates, make_user: Callable[..., User], settings: Any, tmp_path: Path
) -> None:
    grant = OAuthGrant(flow="external", expires_at=in_days(3), failure="ended")
    grant.access_token = "a"
    grant.save()
    Transport.objects.filter(pk=everything.smtp.pk).update(encrypted_oauth_token=None, grant=grant)
    OAuthApp.objects.update(ca_certificate=certificates.ca_pem)
    Webhook.objects.create(name="billing", url="https://hooks.example", secret="whsec_of_a_test")
    token = Token.objects.create(user=make_user("operator"), name="billing", digest="d", expires_at=in_days(20))
    (certificate := tmp_path / "submission.pem").write_text(certificates.ca_pem)
    settings.SUBMISSION = replace(settings.SUBMISSION, starttls=("127.0.0.1", 587), certificate=certificate)
    found = {each.key: each for each in expiries.all_expiries()}
    assert {f"grant:{grant.pk}", f"authority:app:{OAuthApp.objects.get().pk}", f"api_token:{token.pk}"} <= found.keys()
    assert "submission_certificate" in found and f"events:{Webhook.objects.get().pk}" in found
    keys = [each.key for each in expiries.find(timezone.now())]
    assert f"ending:7:grant:{grant.pk}" in keys


@pytest.mark.parametrize(
    ("life", "left", "stage"), [(5, 4.9, None), (5, 0.9, 1), (20, 19, None), (20, 6, 7), (90, 29, 30)]
)
def test_what_was_made_for_a_short_time_is_not_told_of_as_soon_as_it_is_made(
    life: float, left: float, stage: int | None
) -> None:
    at = NOW + timedelta(days=left)
    ending = expiries.Expiry("api_token:1", "The token", at, "", "/", began_at=at - timedelta(days=life))
    assert expiries.stage_of(ending, NOW) == stage


@pytest.mark.parametrize(
    ("used_by_workers", "age", "left", "stage"),
    [
        (True, 150, 0.02, None),  # half an hour's, renewed by each use, for months
        (True, 0, 90, None),
        (False, 4.9, 2, None),  # a consent of less than seven days, whose end no use moves
        (False, 6.4, 0.5, 1),
        (False, 84, 6, 7),
    ],
)
def test_a_refresh_token_that_each_use_renews_alerts_nobody_and_one_that_ends_does(
    everything: Account, used_by_workers: bool, age: float, left: float, stage: int | None
) -> None:
    moments = {"granted_at": in_days(-age), "refreshed_at": timezone.now(), "refresh_expires_at": in_days(left)}
    OAuthGrant.objects.update(use_refresh_by=in_days(left / 2) if used_by_workers else None, **moments)
    [ending] = [each for each in expiries.all_expiries() if each.key.startswith("grant:")]
    assert expiries.stage_of(ending, timezone.now()) == stage
    assert ("Sign in again" in ending.then) is not used_by_workers


def test_the_secret_of_single_sign_on_ends_too(everything: Account, settings: Any) -> None:
    settings.SSO_CLIENT_SECRET_ENDS_ON = in_days(5).date()
    assert "ending:7:single_sign_on" not in [each.key for each in expiries.find(timezone.now())]
    settings.SSO_ISSUER = "https://sign-on.example.test"
    assert "ending:7:single_sign_on" in [each.key for each in expiries.find(timezone.now())]


def test_a_webhook_with_a_new_secret_has_another_year(everything: Account) -> None:
    AlertRule.objects.update(created_at=in_days(-400), secret_set_at=None)
    [before] = [each for each in expiries.all_expiries() if each.key.startswith("webhook")]
    assert before.at < timezone.now()
    rule = AlertRule.objects.get()
    rule.secret = "another"
    rule.save()
    [after] = [each for each in expiries.all_expiries() if each.key.startswith("webhook")]
    assert after.days_left(timezone.now()) == 364


@pytest.mark.parametrize("in_file", [True, False])
def test_the_encryption_key_is_as_old_as_its_file_or_the_oldest_secret(
    everything: Account, settings: Any, tmp_path: Path, in_file: bool
) -> None:
    settings.DATA_DIR = tmp_path
    if in_file:
        (tmp_path / "keys").mkdir()
        (file := tmp_path / "keys" / "encryption_key").write_text(settings.ENCRYPTION_KEYS[0])
        os.utime(file, (0, 0))
    alone = {"encrypted_password": None, "encrypted_oauth_token": None, "grant": OAuthGrant.objects.get()}
    Transport.objects.update(**alone)  # OAuth alone, as at Outlook
    app = OAuthApp.objects.get()
    app.client_secret = "s"
    app.save()
    [key] = [each for each in expiries.all_expiries() if each.key == "encryption_key"]
    assert (key.at.year == 1971) is in_file
