"""Everything that will end, soonest first: grants, tokens, secrets, certificates and keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.fernet import Fernet
from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_noop

from alerts.finding import Finding
from alerts.models import AlertRule, Kind
from mailbox.models import Account, OAuthApp, OAuthGrant, SeenCertificate, Transport

WARNED = (1, 7, 30)  # days before
KEY_AGE = timedelta(days=365)  # after which keys and secrets of our own should be replaced


@dataclass(frozen=True)
class Expiry:
    """`what` is an English sentence's subject, as alerts are stored; `key` names the thing for ever."""

    key: str
    what: str
    at: datetime
    then: str
    path: str
    account_id: int | None = None

    def days_left(self, now: datetime) -> int:
        """Whole days, rounded down; negative when it is over."""
        return (self.at - now) // timedelta(days=1)


def all_endings() -> list[Expiry]:
    found = [*_tokens(), *_grants(), *_app_secrets(), *_certificates(), *_extra_authorities(), *_keys(), *_webhooks()]
    return sorted(found, key=lambda each: each.at)


def stage_of(ending: Expiry, now: datetime) -> int | None:
    """Which of the three warnings is due; None while there is time."""
    return next((days for days in WARNED if ending.at - now <= timedelta(days=days)), None)


def find(now: datetime) -> Iterator[Finding]:
    """One finding for each thing that ends within 30 days; another when 7 are left, and when one is."""
    for each in all_endings():
        stage = stage_of(each, now)
        if stage is not None:
            when = f"{each.at:%Y-%m-%d %H:%M} UTC"
            words = f"{each.what} {'ended' if each.at <= now else 'ends'} at {when}. {each.then}"
            yield Finding(f"ending:{stage}:{each.key}"[:100], Kind.ENDING, each.account_id, words[:500], each.path)


def _tokens() -> Iterator[Expiry]:
    rows = Transport.objects.filter(oauth_expires_at__isnull=False, encrypted_oauth_token__isnull=False)
    for row in rows.select_related("account_by_imap", "account_by_smtp"):
        account = getattr(row, f"account_by_{row.kind}", None)
        if account is not None and row.oauth_expires_at:
            what = f"The {row.get_kind_display()} access token of {account.email}"
            yield _of_account(f"token:{row.pk}", what, row.oauth_expires_at, account)


def _grants() -> Iterator[Expiry]:
    """What is renewed by itself ends only when it is not renewed: access tokens of such grants are no news."""
    lasting = ~Q(flow=OAuthGrant.Flow.PERSON) | Q(encrypted_refresh_token__isnull=False)
    accounts = Account.objects.filter(imap__grant__isnull=False).select_related("imap__grant")
    renewed = set(OAuthGrant.objects.filter(lasting, failure="").values_list("pk", flat=True))
    for account in accounts:
        grant = account.imap.grant
        assert grant is not None
        ends = grant.refresh_expires_at if grant.pk in renewed else grant.expires_at
        if ends is not None:
            yield _of_account(f"grant:{grant.pk}", f"The OAuth grant of {account.email}", ends, account)


def _of_account(key: str, what: str, at: datetime, account: Account) -> Expiry:
    path = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    return Expiry(key, what, at, gettext_noop("Sign in again before."), path, account.pk)


def _app_secrets() -> Iterator[Expiry]:
    for app in OAuthApp.objects.exclude(secret_ends_on=None):
        assert app.secret_ends_on
        at = datetime.combine(app.secret_ends_on, time.min, UTC)
        known = app.kind != OAuthApp.Kind.DISCOVERY
        path = (
            reverse("mailbox:provider_known", args=[app.kind]) if known else reverse("mailbox:provider", args=[app.pk])
        )
        then = gettext_noop("Make a new one at the provider and enter it: all its accounts stop without it.")
        yield Expiry(f"app:{app.pk}", f"The client secret at {app.name}", at, then, path)


def _certificates() -> Iterator[Expiry]:
    """Of servers that an account still has."""
    used = set(Transport.objects.values_list("host", "port"))
    names = {(host.lower(), port) for host, port in used}
    for row in SeenCertificate.objects.all():
        if (row.host, row.port) in names:
            then = gettext_noop("Its operator must renew it.")
            what = f"The certificate of {row.host}:{row.port}"
            yield Expiry(f"certificate:{row.host}:{row.port}", what, row.ends_at, then, reverse("mailbox:accounts"))


def _extra_authorities() -> Iterator[Expiry]:
    for account in Account.objects.exclude(ca_certificate=""):
        try:
            found = x509.load_pem_x509_certificates(account.ca_certificate.encode())
        except ValueError:
            continue
        at = min(each.not_valid_after_utc for each in found)
        what = f"The extra CA certificate of {account.email}"
        path = reverse("mailbox:account_edit", args=[account.pk])
        yield Expiry(f"authority:{account.pk}", what, at, gettext_noop("Paste the new one."), path, account.pk)


def _keys() -> Iterator[Expiry]:
    """The encryption key in use is as old as its file, or as the oldest secret that it encrypts."""
    file = Path(settings.DATA_DIR) / "keys" / "encryption_key"
    since: list[float] = []
    try:
        if file.read_text(encoding="ascii").strip() == settings.ENCRYPTION_KEYS[0]:
            since.append(file.stat().st_mtime)
    except (OSError, UnicodeDecodeError):
        pass
    if not since:
        since = _encrypted_since(Fernet(settings.ENCRYPTION_KEYS[0]))
    if since:
        at = datetime.fromtimestamp(min(since), UTC) + KEY_AGE
        then = gettext_noop("It is a year old then: put a new one before it and run manage.py rotate_keys.")
        yield Expiry(
            "encryption_key", gettext_noop("The year of the encryption key"), at, then, reverse("alerts:endings")
        )


def _encrypted_since(key: Fernet) -> list[float]:
    found = []
    rows = Transport.objects.order_by("pk").values_list("encrypted_password", "encrypted_oauth_token")
    for secret in (each for pair in rows[:500] for each in pair if each):
        try:
            found.append(float(key.extract_timestamp(secret.encode())))
        except Exception:  # noqa: S112 - another key's
            continue
    return found


def _webhooks() -> Iterator[Expiry]:
    for rule in AlertRule.objects.exclude(encrypted_secret=None):
        then = gettext_noop("It is a year old then: give the webhook a new one.")
        path = reverse("alerts:edit", args=[rule.pk])
        what = f"The year of the secret of webhook {rule.pk}"
        yield Expiry(f"webhook:{rule.pk}", what, rule.created_at + KEY_AGE, then, path)
