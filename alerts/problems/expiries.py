"""Grants, tokens, secrets, certificates and keys that will expire, and the warnings before: 30, 7 and 1 days."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from alerts.models import AlertRule, Kind, Webhook
from alerts.problems.problem import Problem, isolated, utc
from mailbox.models import Account, OAuthApp, OAuthGrant, SeenCertificate, Transport

WARNED = (1, 7, 30)  # days before the end at which a warning is due
MOST_SECRETS = 1000  # secrets to read for the age of the key
TOKENS = {
    "imap": gettext_noop("The IMAP access token of %(name)s"),
    "smtp": gettext_noop("The SMTP access token of %(name)s"),
}
KEY_AGE = timedelta(days=365)  # the age at which our own keys and secrets should be replaced


@dataclass(frozen=True)
class Expiry:
    """One thing that expires. `key`: identifies it. `what`: its name as the subject of a sentence, with %(name)s where
    it has a name; `then`: a sentence that says what to do. Both are in English, by gettext_noop."""

    key: str
    what: str
    at: datetime
    then: str
    path: str
    account_id: int | None = None
    began_at: datetime | None = None  # when its lifetime began: no warning that is as long as the whole lifetime
    name: str = ""

    @property
    def in_words(self) -> str:
        """`what` in the active language, with the name."""
        return gettext(self.what) % {"name": isolated(self.name)}

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires, rounded down; negative afterwards."""
        return (self.at - now) // timedelta(days=1)


# Functions of apps that this one may not import; each yields Expiry.
elsewhere: list[Callable[[], Iterable[Expiry]]] = []


def all_expiries() -> list[Expiry]:
    """All that expires some day, the soonest first."""
    apps = list(OAuthApp.objects.order_by("pk"))
    found = [*_tokens(), *_grants(), *_app_secrets(apps), *_sign_on()]
    found += [*_certificates(), *_authorities(apps), *_keys(), *_webhooks()]
    found += [each for known in elsewhere for each in known()]
    return sorted(found, key=lambda each: each.at)


def stage_of(ending: Expiry, now: datetime) -> int | None:
    """The warning that is due, in days (one of WARNED); None if it is too early.

    No warning for a period that is longer than the whole lifetime: it would be due from the beginning.
    """
    lasts = ending.at - ending.began_at if ending.began_at else timedelta.max
    due = (days for days in WARNED if ending.at - now <= timedelta(days=days) < lasts)
    return next(due, None)


def of_accounts(among: Collection[int]) -> list[Expiry]:
    """The expiries of these accounts. Reads no rows of other accounts."""
    return [*_tokens(among), *_grants(among), *_authorities([], among)]


def find(now: datetime, among: Collection[int] | None = None) -> Iterator[Problem]:
    """A problem for each thing that expires within 30 days, another one from 7 days on, and from 1 day on. `among`: of
    these accounts only; None: all."""
    for each in all_expiries() if among is None else of_accounts(among):
        stage = stage_of(each, now)
        if stage is not None:
            words = partial(_ends, each, is_over=each.at <= now)
            yield Problem(f"ending:{stage}:{each.key}"[:100], Kind.ENDING, each.account_id, words, each.path)


def _ends(each: Expiry, *, is_over: bool) -> str:
    words = (
        gettext("%(what)s ended at %(time)s. %(then)s") if is_over else gettext("%(what)s ends at %(time)s. %(then)s")
    )
    return words % {"what": each.in_words, "time": isolated(utc(each.at)), "then": gettext(each.then)}


def _tokens(among: Collection[int] | None = None) -> Iterator[Expiry]:
    rows = Transport.objects.filter(oauth_expires_at__isnull=False, encrypted_oauth_token__isnull=False)
    if among is not None:
        rows = rows.filter(Q(account_by_imap__in=among) | Q(account_by_smtp__in=among))
    for row in rows.select_related("account_by_imap", "account_by_smtp"):
        account = getattr(row, f"account_by_{row.kind}", None)
        if account is not None and row.oauth_expires_at:
            yield _of_account(f"token:{row.pk}", TOKENS[row.kind], row.oauth_expires_at, account)


def _grants(among: Collection[int] | None = None) -> Iterator[Expiry]:
    """The end of each account's grant: that of the refresh token or, without one, that of the access token.

    Access tokens that are renewed automatically are left out.
    """
    by_grant = Q(imap__grant__isnull=False) | Q(smtp__grant__isnull=False)
    accounts = Account.objects.all() if among is None else Account.objects.filter(pk__in=among)
    for account in accounts.filter(by_grant).select_related("imap__grant", "smtp__grant"):
        for grant in {each.pk: each for each in (account.imap.grant, account.smtp.grant) if each}.values():
            what, key = gettext_noop("The OAuth grant of %(name)s"), f"grant:{grant.pk}"
            if not _is_renewed(grant):
                if grant.expires_at is not None:
                    yield _of_account(key, what, grant.expires_at, account)
            elif grant.refresh_expires_at is not None:
                yield _of_refresh_token(grant, _of_account(key, what, grant.refresh_expires_at, account))


def _of_refresh_token(grant: OAuthGrant, ending: Expiry) -> Expiry:
    """The expiry with the beginning of its lifetime: the last refresh if each use extends the token, else the consent.

    So there is no warning of refresh tokens that last for half an hour, as with some providers.
    """
    if grant.use_refresh_by is None:
        return replace(ending, began_at=grant.granted_at)
    return replace(ending, began_at=grant.refreshed_at, then=gettext_noop("Workers renew it in time, by using it."))


def _is_renewed(grant: OAuthGrant) -> bool:
    by_itself = grant.flow != OAuthGrant.Flow.PERSON or grant.encrypted_refresh_token is not None
    return by_itself and grant.failure != OAuthGrant.Failure.ENDED


def _of_account(key: str, what: str, at: datetime, account: Account) -> Expiry:
    path = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    return Expiry(key, what, at, gettext_noop("Sign in again before."), path, account.pk, name=account.email)


def _app_secrets(apps: list[OAuthApp]) -> Iterator[Expiry]:
    for app in apps:
        if app.secret_ends_on is None:
            continue
        at = datetime.combine(app.secret_ends_on, time.min, UTC)
        then = gettext_noop("Make a new one at the provider and enter it: all its accounts stop without it.")
        yield Expiry(
            f"app:{app.pk}",
            gettext_noop("The client secret at %(name)s"),
            at,
            then,
            app.get_absolute_url(),
            name=app.name,
        )


def _sign_on() -> Iterator[Expiry]:
    """The client secret of single sign-on, where the environment states when it expires."""
    if settings.SSO_ISSUER and settings.SSO_CLIENT_SECRET_ENDS_ON:
        at = datetime.combine(settings.SSO_CLIENT_SECRET_ENDS_ON, time.min, UTC)
        what = gettext_noop("The client secret of single sign-on")
        then = gettext_noop("Make a new one at the provider and set it: without it nobody signs in there.")
        yield Expiry("single_sign_on", what, at, then, reverse("alerts:endings"))


def _certificates() -> Iterator[Expiry]:
    """The certificates of mail servers that are still in use by an account."""
    used = Transport.objects.filter(host__iexact=OuterRef("host"), port=OuterRef("port"))
    what, then = gettext_noop("The certificate of %(name)s"), gettext_noop("Its operator must renew it.")
    for row in SeenCertificate.objects.filter(Exists(used)):
        name = f"{row.host}:{row.port}"
        yield Expiry(f"certificate:{name}", what, row.ends_at, then, reverse("mailbox:accounts"), name=name)


def _authorities(apps: list[OAuthApp], among: Collection[int] | None = None) -> Iterator[Expiry]:
    then = gettext_noop("Paste the new one.")
    accounts = Account.objects.all() if among is None else Account.objects.filter(pk__in=among)
    for account in accounts.exclude(ca_certificate=""):
        if at := first_end(account.ca_certificate):
            path = reverse("mailbox:account_edit", args=[account.pk])
            what = gettext_noop("The extra CA certificate of %(name)s")
            yield Expiry(f"authority:{account.pk}", what, at, then, path, account.pk, name=account.email)
    for app in apps:  # new accounts of a provider get its CA certificate
        if at := first_end(app.ca_certificate):
            path = reverse("mailbox:provider", args=[app.pk])
            what = gettext_noop("The extra CA certificate at %(name)s")
            yield Expiry(f"authority:app:{app.pk}", what, at, then, path, name=app.name)


def first_end(pem: str) -> datetime | None:
    """When the first of these certificates (PEM) expires; None when none can be read."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return None
    return min((each.not_valid_after_utc for each in found), default=None)


def _keys() -> Iterator[Expiry]:
    """When the encryption key in use reaches KEY_AGE. Its age is that of its file or, if it is not in that file, of the
    oldest secret that it encrypts."""
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
        then = gettext_noop("It is a year old then: put a new one before it and run “manage.py rotate_keys”.")
        yield Expiry(
            "encryption_key", gettext_noop("The year of the encryption key"), at, then, reverse("alerts:endings")
        )


def _encrypted_since(key: Fernet) -> list[float]:
    """The times, in Unix seconds, at which this key encrypted the stored secrets. Tokens of grants are left out: they
    are encrypted again about every hour."""
    kept = Transport.objects.values_list("encrypted_password").exclude(encrypted_password=None)
    pasted = Transport.objects.values_list("encrypted_oauth_token").exclude(encrypted_oauth_token=None)
    of_apps = OAuthApp.objects.values_list("encrypted_client_secret").exclude(encrypted_client_secret=None)
    found = []
    for (secret,) in kept.order_by().union(pasted.order_by(), of_apps.order_by())[:MOST_SECRETS]:
        with contextlib.suppress(InvalidToken):  # encrypted by another key
            found.append(float(key.extract_timestamp(str(secret).encode())))
    return found


def _webhooks() -> Iterator[Expiry]:
    """When the secrets of the webhooks of alerts and of events reach KEY_AGE."""
    what = gettext_noop("The year of the secret of webhook %(name)s")
    then = gettext_noop("It is a year old then: give the webhook a new one.")
    for rule in AlertRule.objects.exclude(encrypted_secret=None):
        at, path = (rule.secret_set_at or rule.created_at) + KEY_AGE, reverse("alerts:edit", args=[rule.pk])
        yield Expiry(f"webhook:{rule.pk}", what, at, then, path, name=str(rule.pk))
    for hook in Webhook.objects.all():
        at, path = (hook.secret_set_at or hook.created_at) + KEY_AGE, reverse("alerts:webhook", args=[hook.pk])
        yield Expiry(f"events:{hook.pk}", what, at, then, path, name=hook.name)
