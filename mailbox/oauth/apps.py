"""From an OAuthApp row to the data that `protocol` takes: the provider's endpoints, the site's client id and secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max
from django.utils.translation import gettext_noop

from mailbox.errors import ProviderError
from mailbox.models import OAuthApp
from mailbox.oauth import providers
from mailbox.oauth.protocol import AppRefused, ClientId
from mailbox.oauth.providers import KNOWN, KnownProvider, Provider


def provider_of(app: OAuthApp) -> Provider:
    """The provider's endpoints and scopes. Raises ProviderError while its discovery document has not been read."""
    if app.kind == OAuthApp.Kind.GOOGLE:
        return providers.google()
    if app.kind == OAuthApp.Kind.MICROSOFT:
        return providers.microsoft(app.tenant)
    if app.kind == OAuthApp.Kind.YAHOO:
        return providers.yahoo()
    if not app.document:
        raise ProviderError(gettext_noop("The provider's discovery document has not been read yet."))
    return providers.discovered(app.document, app.scopes, app.application_scopes)


@dataclass(frozen=True)
class RefusedApp:
    """A registration that the provider refuses. `waiting`: how many grants failed for it. `words`: the provider's."""

    app: OAuthApp
    waiting: int
    words: str


def refused() -> list[RefusedApp]:
    """The registrations whose client id or secret the provider refuses."""
    rows: Any = OAuthApp.objects.refused().annotate(waiting=Count("grants"), said=Max("grants__last_reply"))
    return [RefusedApp(row, row.waiting, row.said.partition(": ")[2] or row.said) for row in rows.order_by("pk")]


def client_of(app: OAuthApp) -> ClientId:
    """The site's client id and secret; those in the environment win. Raises credentials.DecryptionFailed."""
    if app.from_environment:
        return ClientId(*app.from_environment)
    return ClientId(app.client_id, app.client_secret or "")


def service_account_of(app: OAuthApp) -> ClientId:
    """The service account of the stored key file.

    Raises AppRefused when there is no usable file, and credentials.DecryptionFailed.
    """
    address, key = read_service_key(app.service_key or "")
    if not key:
        raise AppRefused("No service account's key file is stored for this provider.")
    return ClientId(address, private_key=key)


def read_service_key(text: str) -> tuple[str, str]:
    """(the service account's address, its private key in PEM) from a Google key file; ("", "") if it is not one."""
    try:
        held = json.loads(text)
        address, key = held["client_email"], held["private_key"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", ""
    is_key = isinstance(address, str) and isinstance(key, str) and "PRIVATE KEY" in key
    return (address, key) if is_key else ("", "")


def known(kind: str) -> KnownProvider | None:
    """The built-in provider of this kind; None for one that is read from a discovery document."""
    return next((each for each in KNOWN if each.key == kind), None)


def of_kind(kind: str) -> OAuthApp:
    """The row of a built-in provider (there is one at most); created when it is first needed."""
    name = next(each.name for each in KNOWN if each.key == kind)
    return OAuthApp.objects.get_or_create(kind=kind, defaults={"name": name})[0]


def configured() -> list[OAuthApp]:
    """The providers that people can sign in with, built-in ones first."""
    rows = list(OAuthApp.objects.order_by("pk"))
    kinds = {row.kind for row in rows}
    for each in KNOWN:
        if each.key not in kinds and OAuthApp(kind=each.key).from_environment:
            rows.append(of_kind(each.key))
    order = [each.key for each in KNOWN]
    ready = [row for row in rows if row.is_configured]
    return sorted(ready, key=lambda row: order.index(row.kind) if row.kind in order else len(order))


def app_for(email: str, *hosts: str) -> OAuthApp | None:
    """The configured provider for this address: one that has its domain in `domains`, or whose mail servers include
    one of `hosts`."""
    domain = email.rpartition("@")[2].lower()
    asked = {host.strip().lower().rstrip(".") for host in hosts if host}
    for app in configured():
        its = known(app.kind)
        if domain in app.domains.lower().split() or (its and asked & set(its.mail_hosts)):
            return app
        if not its and asked & {str(app.servers.get(name, "")).lower() for name in ("imap_host", "smtp_host")}:
            return app
    return None
