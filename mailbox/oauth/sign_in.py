"""A person's sign-in at a provider: the redirect there and back (authorization code, PKCE, state). Uses no network."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.crypto import salted_hmac

from mailbox.autoconfig.servers import Discovery
from mailbox.credentials import decrypt, encrypt
from mailbox.mime.charsets.decoding import storable
from mailbox.models import Account, OAuthApp, OAuthSignIn
from mailbox.oauth import apps, protocol
from mailbox.presets import PRESETS

Status = OAuthSignIn.Status
GOOD_FOR = timedelta(minutes=30)  # time to find a password and a second factor
KEPT = timedelta(days=1)
STUCK_AFTER = timedelta(minutes=2)  # longer than any answer takes: the worker has died


class StateRefused(Exception):
    """The returned `state` belongs to no open sign-in of this browser and user, has expired, or was used already."""


def browser_of(session: Any) -> str:
    """A digest that identifies the browser's session, so that only this browser can complete its sign-ins."""
    if "oauth_browser" not in session:
        session["oauth_browser"] = secrets.token_urlsafe(24)
    return hashlib.sha256(str(session["oauth_browser"]).encode()).hexdigest()


def begin(
    app: OAuthApp,
    user_id: int,
    browser: str,
    email: str,
    callback: str,
    *,
    account: Account | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> OAuthSignIn:
    """Save a sign-in that this user begins at the provider.

    `account`: the one that gets the grant; None: a new one is added, with the servers in `chosen` (see servers_for).
    `browser`: as browser_of() returns it. `callback`: the redirect URI.
    """
    nonce = secrets.token_urlsafe(32)
    return OAuthSignIn.objects.create(
        app=app,
        asked_by_id=user_id,
        account=account,
        email=email,
        state_digest=_digest(state_of(nonce)),
        session_digest=browser,
        encrypted_verifier=encrypt(secrets.token_urlsafe(48)) or "",
        nonce=nonce,
        callback=callback,
        settings=dict(chosen or {}),
    )


def state_of(nonce: str) -> str:
    """The `state` parameter (RFC 6749, 10.12): an HMAC of the nonce, so only this site can compute it."""
    return salted_hmac("mailbox.oauth.state", nonce, algorithm="sha256").hexdigest()


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def address_of(row: OAuthSignIn) -> str:
    """The URL that the browser is sent to. Raises credentials.DecryptionFailed."""
    return protocol.authorization_address(
        apps.provider_of(row.app),
        apps.client_of(row.app).client_id,
        callback=row.callback,
        state=state_of(row.nonce),
        nonce=row.nonce,
        verifier=decrypt(row.encrypted_verifier) or "",
        login_hint=row.email,
    )


def returned(given: Mapping[str, str], user_id: int, browser: str) -> OAuthSignIn:
    """Accept the parameters of the redirect back from the provider, once. Raises StateRefused.

    A refused consent is no exception: the row becomes FAILED with the provider's words.
    """
    now, state = timezone.now(), given.get("state", "")
    row = OAuthSignIn.objects.filter(state_digest=_digest(state), asked_by=user_id).select_related("app").first()
    if row is None or not hmac.compare_digest(row.session_digest, browser) or row.created_at < now - GOOD_FOR:
        raise StateRefused
    issuer = given.get("iss", "")
    if issuer and "{" not in apps.provider_of(row.app).issuer and issuer != apps.provider_of(row.app).issuer:
        raise StateRefused  # the answer is from another provider (RFC 9207)
    if code := given.get("code", "")[:4000]:
        moved = row.move(Status.AWAY, Status.RETURNED, now, encrypted_code=encrypt(code))
    else:
        moved = row.move(Status.AWAY, Status.FAILED, now, error=_refusal(given))
    if not moved:
        raise StateRefused
    return row


def _refusal(given: Mapping[str, str]) -> str:
    words = " ".join(f"{given.get('error', '')}: {given.get('error_description', '')}".split())
    said = storable(words.strip(": ")[:500])
    if given.get("error") == "access_denied":
        return f"The provider was not given the consent, so nothing has changed. It says: {said}"
    return f"The provider refused the sign-in. It says: {said or 'nothing'}"


def servers_for(app: OAuthApp, found: Discovery | None = None) -> dict[str, Any]:
    """The provider's mail servers: built in, else as the administrator typed them, else as discovered; {} if none."""
    if (its := apps.known(app.kind)) is not None:
        preset = next(each for each in PRESETS if each.key == its.preset)
        names = ("imap_host", "imap_port", "smtp_host", "smtp_port", "smtp_security")
        return {name: getattr(preset, name) for name in names}
    if app.servers.get("imap_host") and app.servers.get("smtp_host"):
        return {**app.servers, "ca_certificate": app.ca_certificate}
    if found is not None and found.imap and found.smtp:
        imap, smtp = found.imap, found.smtp
        return {
            "imap_host": imap.host,
            "imap_port": imap.port,
            "smtp_host": smtp.host,
            "smtp_port": smtp.port,
            "smtp_security": smtp.security,
        }
    return {}


def is_stuck(row: OAuthSignIn, now: datetime) -> bool:
    """Whether the worker that asks the provider must have died: no progress for STUCK_AFTER."""
    return row.status == Status.ASKING and row.moved_at < now - STUCK_AFTER


def forget_old(now: datetime) -> int:
    """Delete sign-ins that began longer than KEPT ago; return how many rows."""
    return OAuthSignIn.objects.filter(created_at__lt=now - KEPT).delete()[0]


def waiting() -> list[int]:
    """The pks of sign-ins that have come back and that no worker has begun, as after an outage of the broker."""
    return list(OAuthSignIn.objects.filter(status=Status.RETURNED).order_by("pk").values_list("pk", flat=True)[:100])
