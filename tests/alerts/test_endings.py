"""The calendar of everything that ends, and its alerts 30, 7 and 1 days before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts import endings
from alerts.models import AlertRule
from mailbox.models import Account, OAuthApp, OAuthGrant, SeenCertificate, Transport
from mailbox.sync import account_session
from tests.rows import NOWHERE
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot

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
    found = [each.key.partition(":")[0] for each in endings.all_endings()]
    assert found[:4] == ["token", "app", "certificate", "grant"]
    assert set(found[4:]) == {"authority", "encryption_key", "webhook"}


def test_the_page_shows_each_and_no_secret(everything: Account, client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("administrator"))
    page = client.get(reverse("alerts:endings")).content.decode()
    assert "The client secret at Microsoft" in page and "The certificate of localhost:1" in page
    assert "pasted" not in page


@pytest.mark.parametrize(("days", "stage"), [(31, None), (29, 30), (8, 30), (6.5, 7), (2, 7), (0.9, 1), (-3, 1)])
def test_it_is_told_thirty_seven_and_one_days_before(days: float, stage: int | None) -> None:
    ending = endings.Expiry("app:1", "The client secret", NOW + timedelta(days=days), "", "/")
    assert endings.stage_of(ending, NOW) == stage


def test_the_end_of_a_servers_certificate_is_noted_when_a_worker_connects(
    make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = Account.objects.with_transports().get(pk=make_account().pk)
    with account_session.connect(account, timezone.now):
        pass
    row = SeenCertificate.objects.get(host=dovecot.host, port=dovecot.imap_port)
    assert timedelta(days=363) < row.ends_at - timezone.now() <= timedelta(days=365)
    assert Transport.objects.filter(host=row.host, port=row.port).exists()
