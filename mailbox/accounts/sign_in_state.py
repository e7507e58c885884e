"""How each transport signs in, until when, and what happens then. Decides from rows the caller has read; no queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from mailbox.models import Account, OAuthGrant, Transport


@dataclass(frozen=True)
class SignInState:
    """How one transport signs in. `until`: when the present token or grant expires; None when it is not known."""

    server: str
    way: str
    until: datetime | None
    next: str
    tone: str = "fine"


def states(account: Account, now: datetime) -> list[SignInState]:
    """IMAP's state, then SMTP's. The caller has read the transports, their grants and the grants' apps."""
    return [_of(transport, now) for transport in (account.imap, account.smtp)]


def _of(transport: Transport, now: datetime) -> SignInState:
    server, tone = transport.get_kind_display(), "needs" if transport.needs_sign_in_since else "fine"
    if transport.grant is not None:
        return _of_grant(server, transport.grant, now, tone)
    if transport.auth_method == "password":
        return SignInState(server, gettext("password"), None, gettext("It holds until it is changed there."), tone)
    until = transport.oauth_expires_at
    words = gettext("It is not renewed: enter another before it ends, or sign in at the provider.")
    return SignInState(server, gettext("OAuth access token"), until, words, "needs" if until and until <= now else tone)


def _of_grant(server: str, grant: OAuthGrant, now: datetime, tone: str) -> SignInState:
    app = grant.app.name if grant.app else grant.get_flow_display()
    way = gettext("OAuth grant by %(app)s") % {"app": app}
    if grant.identity:
        way = gettext("OAuth grant by %(app)s, signed in as %(identity)s") % {"app": app, "identity": grant.identity}
    if grant.failure == OAuthGrant.Failure.ENDED:
        return SignInState(server, way, None, gettext("It has ended: sign in again."), "needs")
    if grant.failure:
        return SignInState(server, way, None, _of_site(grant), "needs")
    if not grant.can_refresh:
        return SignInState(server, way, grant.expires_at, gettext("It is not renewed: sign in again before."), tone)
    if grant.refresh_expires_at:
        words = gettext("The access token is renewed by itself, and the grant with it each time.")
        if grant.use_refresh_by is None:  # no use moves its end
            words = gettext("The access token is renewed by itself until then: sign in again before.")
        return SignInState(server, way, grant.refresh_expires_at, words, tone)
    words = gettext("The access token is renewed by itself, until the provider or its owner ends the grant.")
    return SignInState(server, way, None, words, tone)


def _of_site(grant: OAuthGrant) -> str:
    """A failure that no new sign-in mends."""
    if grant.failure == OAuthGrant.Failure.KEY:
        return gettext("It cannot be renewed: the encryption key of a stored secret is missing.")
    return gettext(
        "It cannot be renewed: the provider refuses this site's own client id or secret. An administrator enters a "
        "new one under “Sign-in providers”; nobody needs to sign in again."
    )
