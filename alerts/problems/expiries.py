"""Everything that will end, soonest first: grants, tokens, secrets, certificates and keys."""

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

WARNED = (1, 7, 30)  # days before
MOST_SECRETS = 1000  # that are looked at for the age of the key
TOKENS = {
    "imap": gettext_noop("The IMAP access token of %(name)s"),
    "smtp": gettext_noop("The SMTP access token of %(name)s"),
}
KEY_AGE = timedelta(days=365)  # after which keys and secrets of our own should be replaced


@dataclass(frozen=True)
class Expiry:
    """`what` is a sentence's subject in English, with %(name)s in it where the thing has a name, and `then` a sentence:
    both by gettext_noop. `key` names the thing for ever."""

    key: str
    what: str
    at: datetime
    then: str
    path: str
    account_id: int | None = None
    began_at: datetime | None = None  # of what was made for a time: nobody is told of its end as soon as it is made
    name: str = ""

    @property
    def in_words(self) -> str:
        """In the language of whoever reads."""
        return gettext(self.what) % {"name": isolated(self.name)}

    def days_left(self, now: datetime) -> int:
        """Whole days, rounded down; negative when it is over."""
        return (self.at - now) // timedelta(days=1)


# What apps above this one know of: each yields Expiry.
elsewhere: list[Callable[[], Iterable[Expiry]]] = []


def all_expiries() -> list[Expiry]:
    apps = list(OAuthApp.objects.order_by("pk"))
    found = [*_tokens(), *_grants(), *_app_secrets(apps), *_sign_on()]
    found += [*_certificates(), *_authorities(apps), *_keys(), *_webhooks()]
    found += [each for known in elsewhere for each in known()]
    return sorted(found, key=lambda each: each.at)


def stage_of(ending: Expiry, now: datetime) -> int | None:
    """Which of the three warnings is due; None while there is time."""
    lasts = ending.at - ending.began_at if ending.began_at else timedelta.max
    due = (days for days in WARNED if ending.at - now <= timedelta(days=days) < lasts)
    return next(due, None)


def of_accounts(among: Collection[int]) -> list[Expiry]:
    """What belongs to these accounts; nothing of the others is read."""
    return [*_tokens(among), *_grants(among), *_authorities([], among)]


def find(now: datetime, among: Collection[int] | None = None) -> Iterator[Problem]:
    """One problem for each thing that ends within 30 days; another when 7 are left, and when one is. `among`: only of
    what belongs to these accounts."""
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
    """What is renewed by itself ends only when it is not renewed: access tokens of such grants are no news."""
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
    """One that each use renews was made at the last use: of half an hour's, as some providers give, nobody is told."""
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
    """The secret that people's single sign-on needs, where the environment says its end."""
    if settings.SSO_ISSUER and settings.SSO_CLIENT_SECRET_ENDS_ON:
        at = datetime.combine(settings.SSO_CLIENT_SECRET_ENDS_ON, time.min, UTC)
        what = gettext_noop("The client secret of single sign-on")
        then = gettext_noop("Make a new one at the provider and set it: without it nobody signs in there.")
        yield Expiry("single_sign_on", what, at, then, reverse("alerts:endings"))


def _certificates() -> Iterator[Expiry]:
    """Of servers that an account still has."""
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
    for app in apps:  # new accounts of the provider are given its certificate
        if at := first_end(app.ca_certificate):
            path = reverse("mailbox:provider", args=[app.pk])
            what = gettext_noop("The extra CA certificate at %(name)s")
            yield Expiry(f"authority:app:{app.pk}", what, at, then, path, name=app.name)


def first_end(pem: str) -> datetime | None:
    """When the first of these certificates ends; None when there is none that can be read."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return None
    return min((each.not_valid_after_utc for each in found), default=None)


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
    """When this key encrypted each secret that it did, in Unix seconds. Refresh tokens are of another age each hour."""
    kept = Transport.objects.values_list("encrypted_password").exclude(encrypted_password=None)
    pasted = Transport.objects.values_list("encrypted_oauth_token").exclude(encrypted_oauth_token=None)
    of_apps = OAuthApp.objects.values_list("encrypted_client_secret").exclude(encrypted_client_secret=None)
    found = []
    for (secret,) in kept.order_by().union(pasted.order_by(), of_apps.order_by())[:MOST_SECRETS]:
        with contextlib.suppress(InvalidToken):  # another key's
            found.append(float(key.extract_timestamp(str(secret).encode())))
    return found


def _webhooks() -> Iterator[Expiry]:
    """Of alerts, and of events."""
    what = gettext_noop("The year of the secret of webhook %(name)s")
    then = gettext_noop("It is a year old then: give the webhook a new one.")
    for rule in AlertRule.objects.exclude(encrypted_secret=None):
        at, path = (rule.secret_set_at or rule.created_at) + KEY_AGE, reverse("alerts:edit", args=[rule.pk])
        yield Expiry(f"webhook:{rule.pk}", what, at, then, path, name=str(rule.pk))
    for hook in Webhook.objects.all():
        at, path = (hook.secret_set_at or hook.created_at) + KEY_AGE, reverse("alerts:webhook", args=[hook.pk])
        yield Expiry(f"events:{hook.pk}", what, at, then, path, name=hook.name)
