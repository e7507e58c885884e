"""Computes the columns of a grant from new tokens: the encrypted tokens and when each expires. Stores nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from mailbox.credentials import encrypt
from mailbox.models import OAuthGrant
from mailbox.oauth import direct
from mailbox.oauth.protocol import Tokens

UNKNOWN_LIFE = 3600.0  # seconds; of an access token whose provider states no expires_in (RFC 6749, 5.1)
SAME_END = timedelta(minutes=1)


def columns(grant: OAuthGrant, tokens: Tokens, now: datetime) -> dict[str, Any]:
    """The columns of a grant with these tokens. Without a new refresh token the former one stays (RFC 6749, 6)."""
    kept = {} if not tokens.refresh_token else {"encrypted_refresh_token": encrypt(tokens.refresh_token)}
    ends, use_by = _of_refresh_token(grant, tokens, now)
    return kept | {
        "encrypted_access_token": encrypt(tokens.access_token),
        "expires_at": now + timedelta(seconds=tokens.expires_in or UNKNOWN_LIFE),
        "refresh_expires_at": ends,
        "use_refresh_by": use_by,
        "scope": grant.scope if tokens.scope is None else tokens.scope,
        "refreshed_at": now,
    }


def _of_refresh_token(grant: OAuthGrant, tokens: Tokens, now: datetime) -> tuple[datetime | None, datetime | None]:
    """(refresh_expires_at, use_refresh_by): use_refresh_by is after half of the time, since each use extends the token.

    use_refresh_by is None when a use does not extend it (Google, while its app is in testing; a consent for a limited
    time): a person must consent again before the end, and is reminded of it (alerts.problems.expiries).
    """
    if not (tokens.refresh_token or grant.encrypted_refresh_token):
        return None, None
    idle = direct.idle_seconds(grant)
    lapses = timedelta(seconds=idle) if idle else None
    former = grant.refresh_expires_at if grant.refresh_expires_at and grant.refresh_expires_at > now else None
    if tokens.refresh_expires_in:
        ends = now + timedelta(seconds=tokens.refresh_expires_in)
        is_moved = former is None or ends > former + SAME_END
        return ends, now + (ends - now) / 2 if is_moved else None
    if former and not tokens.refresh_token and former - grant.refreshed_at != lapses:
        return former, None  # the provider stated this end once; the refresh token is still the same
    return (now + lapses, now + lapses / 2) if lapses else (None, None)
