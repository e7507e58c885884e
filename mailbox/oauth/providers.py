"""Endpoints and scopes of the built-in providers, and of those read from a discovery document. Plain data, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from django.utils.translation import gettext_noop

DAY = 86_400.0
LONGEST_ADDRESS = 2_000


@dataclass(frozen=True)
class Provider:
    """A provider's endpoints (RFC 8414) and the scopes to ask for. `scopes` are those of a person's sign-in."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_authorization_endpoint: str = ""
    scopes: str = "openid email"
    needed_scopes: tuple[str, ...] = ()  # all of these must be granted, or the tokens open no mailbox
    application_scopes: str = ""  # of client credentials and service accounts
    authorization_fields: Mapping[str, str] = field(default_factory=dict)  # further parameters the provider requires
    auth_method: str = "client_secret_post"  # RFC 6749, 2.3.1
    idle_seconds: float | None = None  # a refresh token that is not used for this long expires


@dataclass(frozen=True)
class KnownProvider:
    """A built-in provider, which has a page of its own. `preset`: the key of its mail servers in mailbox.presets."""

    key: str
    name: str
    preset: str
    mail_hosts: tuple[str, ...]


KNOWN = (
    KnownProvider("google", "Google", "gmail", ("imap.gmail.com", "smtp.gmail.com", "imap.googlemail.com")),
    KnownProvider(
        "microsoft", "Microsoft", "outlook", ("outlook.office365.com", "smtp.office365.com", "smtp-mail.outlook.com")
    ),
    KnownProvider("yahoo", "Yahoo", "yahoo", ("imap.mail.yahoo.com", "smtp.mail.yahoo.com")),
)

GOOGLE_MAIL = "https://mail.google.com/"
MICROSOFT_IMAP = "https://outlook.office.com/IMAP.AccessAsUser.All"
MICROSOFT_SMTP = "https://outlook.office.com/SMTP.Send"


def google() -> Provider:
    """Google gives a refresh token only with access_type=offline, and another one only with prompt=consent.

    An unused one expires after six months (Google Identity, "Using OAuth 2.0 to Access Google APIs", refresh token
    expiration).
    """
    return Provider(
        issuer="https://accounts.google.com",
        authorization_endpoint="https://accounts.google.com/o/oauth2/v2/auth",
        token_endpoint="https://oauth2.googleapis.com/token",  # noqa: S106 - an address
        device_authorization_endpoint="https://oauth2.googleapis.com/device/code",
        scopes=f"openid email {GOOGLE_MAIL}",
        needed_scopes=(GOOGLE_MAIL,),
        application_scopes=GOOGLE_MAIL,
        authorization_fields={"access_type": "offline", "prompt": "consent"},
        idle_seconds=180 * DAY,
    )


def microsoft(tenant: str = "common") -> Provider:
    """`tenant`: an id, a domain, "common", "organizations" or "consumers".

    A refresh token lasts for 90 days from its last use. Client credentials need a specific tenant (id or domain) and
    the scope "/.default" of outlook.office365.com, not of outlook.office.com.
    """
    base = f"https://login.microsoftonline.com/{quote(tenant or 'common', safe='')}"
    return Provider(
        issuer="https://login.microsoftonline.com/{tenantid}/v2.0",
        authorization_endpoint=f"{base}/oauth2/v2.0/authorize",
        token_endpoint=f"{base}/oauth2/v2.0/token",
        device_authorization_endpoint=f"{base}/oauth2/v2.0/devicecode",
        scopes=f"openid email profile offline_access {MICROSOFT_IMAP} {MICROSOFT_SMTP}",
        needed_scopes=(MICROSOFT_IMAP, MICROSOFT_SMTP),
        application_scopes="https://outlook.office365.com/.default",
        authorization_fields={"prompt": "select_account"},
        idle_seconds=90 * DAY,
    )


def yahoo() -> Provider:
    """Yahoo's endpoints; it offers neither a sign-in by a device's code nor client credentials."""
    return Provider(
        issuer="https://api.login.yahoo.com",
        authorization_endpoint="https://api.login.yahoo.com/oauth2/request_auth",
        token_endpoint="https://api.login.yahoo.com/oauth2/get_token",  # noqa: S106 - an address
        scopes="openid email mail-r mail-w",
        needed_scopes=(),  # Yahoo's answers state no scopes
        auth_method="client_secret_basic",
    )


# The members that are kept of a discovery document (OpenID Connect Discovery 1.0, 3; RFC 8414, 2).
ENDPOINTS = ("issuer", "authorization_endpoint", "token_endpoint", "device_authorization_endpoint")


class UnusableDocument(Exception):
    """A discovery document cannot be used; str() is a sentence that says why."""


def checked_document(document: object, address: str, schemes: Sequence[str] = ("https",)) -> dict[str, str]:
    """The members to keep of the document found at `address`. Raises UnusableDocument."""
    if not isinstance(document, dict):
        raise UnusableDocument(gettext_noop("This address holds no discovery document (JSON)."))
    kept = {name: value for name in ENDPOINTS if isinstance(value := document.get(name), str) and value}
    for name in ENDPOINTS[:3]:
        if not _is_address(kept.get(name, ""), schemes):
            raise UnusableDocument(f"The discovery document names no {name} that begins with {schemes[0]}://.")
    if not _is_address(kept.get(ENDPOINTS[3], ""), schemes):
        kept.pop(ENDPOINTS[3], None)
    if not _is_issuer_of(kept["issuer"], address):
        raise UnusableDocument(f"The discovery document is that of another issuer: {kept['issuer'][:300]}")
    methods = document.get("token_endpoint_auth_methods_supported")
    offered = [each for each in methods if isinstance(each, str)] if isinstance(methods, list) else []
    # A missing member means client_secret_basic (RFC 8414, 2).
    is_posted = "client_secret_post" in offered
    return kept | {"auth_method": "client_secret_post" if is_posted else "client_secret_basic"}


def _is_address(given: str, schemes: Sequence[str]) -> bool:
    """Whether this is a URL of one of the schemes: the browser, and the site's secret, are sent to such URLs."""
    is_plain = given.isascii() and given.isprintable() and " " not in given and len(given) <= LONGEST_ADDRESS
    try:
        parts = urlsplit(given)
        return is_plain and parts.scheme in schemes and bool(parts.hostname)
    except ValueError:
        return False


def _is_issuer_of(issuer: str, address: str) -> bool:
    """Whether the issuer fits the document's address (OpenID Connect Discovery 1.0, 4.3; RFC 8414, 3.3).

    RFC 8414 inserts "/.well-known/NAME" before the issuer's path instead of after it. The issuer in Microsoft's
    document for all tenants contains "{tenantid}", which stands for the tenant's id.
    """
    before, found, name = address.partition("/.well-known/")
    if not found:
        return True  # the administrator keeps the document at another address
    where = f"{before}/{name.partition('/')[2]}".rstrip("/")
    start, place, end = issuer.rstrip("/").partition("{tenantid}")
    tenant = where.removeprefix(start).removesuffix(end) if place else ""
    is_at_home = urlsplit(issuer).netloc == urlsplit(address).netloc  # "{tenantid}" must not replace a host
    return is_at_home and where == start + tenant + end and "/" not in tenant


def discovered(document: Mapping[str, Any], scopes: str, application_scopes: str) -> Provider:
    """A provider from its stored discovery document. The names of its mail scopes are typed by the administrator."""
    wanted = scopes.split()
    return Provider(
        issuer=document.get("issuer", ""),
        authorization_endpoint=document.get("authorization_endpoint", ""),
        token_endpoint=document.get("token_endpoint", ""),
        device_authorization_endpoint=document.get("device_authorization_endpoint", ""),
        scopes=" ".join(wanted) or "openid email offline_access",
        needed_scopes=tuple(each for each in wanted if each not in {"openid", "email", "profile", "offline_access"}),
        application_scopes=application_scopes,
        authorization_fields={"prompt": "consent"},
        auth_method=document.get("auth_method", "client_secret_basic"),
    )
