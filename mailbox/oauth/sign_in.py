"""A person's sign-in: away to the provider and back (authorization code with PKCE and state). Touches no network."""

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
GOOD_FOR = timedelta(minutes=30)  # for a person who looks for a password and a second factor
KEPT = timedelta(days=1)
STUCK_AFTER = timedelta(minutes=2)  # longer than any answer takes: the worker died with it


class StateRefused(Exception):
    """What came back belongs to no sign-in of this browser and person, or was used already."""


def browser_of(session: Any) -> str:
    """What binds a sign-in to a session of a browser; made when first asked for."""
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
    """Write down that this person leaves for the provider.

    `account`: the one to sign in; None: one is to be added, with the servers in `chosen` (see servers_for).
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
    """The `state` (RFC 6749, 10.12): only this site can make it from the nonce."""
    return salted_hmac("mailbox.oauth.state", nonce, algorithm="sha256").hexdigest()


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def address_of(row: OAuthSignIn) -> str:
    """Where the browser goes. Raises credentials.DecryptionFailed."""
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
    """Take what the provider sent back, once. Raises StateRefused. A refused consent is written down as the failure."""
    now, state = timezone.now(), given.get("state", "")
    row = OAuthSignIn.objects.filter(state_digest=_digest(state), asked_by=user_id).select_related("app").first()
    if row is None or not hmac.compare_digest(row.session_digest, browser) or row.created_at < now - GOOD_FOR:
        raise StateRefused
    issuer = given.get("iss", "")
    if issuer and "{" not in apps.provider_of(row.app).issuer and issuer != apps.provider_of(row.app).issuer:
        raise StateRefused  # RFC 9207: the answer of another provider
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
    """Where mail of this provider is fetched and sent: known by heart, typed with the provider, or found; {} if not."""
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
    return row.status == Status.ASKING and row.moved_at < now - STUCK_AFTER


def forget_old(now: datetime) -> int:
    return OAuthSignIn.objects.filter(created_at__lt=now - KEPT).delete()[0]


def waiting() -> list[int]:
    """Sign-ins that came back and that no worker has taken up, as when the broker was away."""
    return list(OAuthSignIn.objects.filter(status=Status.RETURNED).order_by("pk").values_list("pk", flat=True)[:100])
