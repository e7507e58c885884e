"""When a refresh token ends, whoever says so, and whether a use moves that end. No network, no tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbox.models import OAuthApp, OAuthGrant
from mailbox.oauth import lifetimes
from mailbox.oauth.protocol import Tokens

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = 86_400.0


def grant(kind: str = "google", ends_in: float | None = None) -> OAuthGrant:
    """With a refresh token that was given at NOW."""
    given = {"encrypted_refresh_token": "r", "refreshed_at": NOW, "granted_at": NOW}
    ends = NOW + timedelta(seconds=ends_in) if ends_in else None
    return OAuthGrant(app=OAuthApp(kind=kind, document={}), flow="person", refresh_expires_at=ends, **given)


def after(row: OAuthGrant, hours: float, tokens: Tokens) -> tuple[float | None, bool]:
    """In days after NOW: when the refresh token ends; and whether it is used before, to move that end."""
    kept = lifetimes.columns(row, tokens, NOW + timedelta(hours=hours))
    ends = kept["refresh_expires_at"]
    return (ends - NOW).total_seconds() / DAY if ends else None, kept["use_refresh_by"] is not None


PLAIN = Tokens("a", expires_in=3600)


def told(days: float, refresh_token: str = "") -> Tokens:
    return Tokens("a", refresh_token=refresh_token, expires_in=3600, refresh_expires_in=days * DAY)


@pytest.mark.parametrize(
    ("row", "hours", "tokens", "ends", "is_moved"),
    [
        # Known to lapse when unused: each use moves the end.
        (grant(ends_in=180 * DAY), 24, PLAIN, 181, True),
        (grant("microsoft", ends_in=90 * DAY), 24, Tokens("a", refresh_token="new"), 91, True),
        (grant("yahoo"), 24, PLAIN, None, False),
        # Told each time, and moved each time (Keycloak).
        (grant("discovery", ends_in=DAY / 48), 0.25, told(1 / 48, "new"), 0.25 / 24 + 1 / 48, True),
        # Told at the consent and never again, of the same refresh token: it ends then (Google's app in testing).
        (grant(ends_in=7 * DAY), 1, PLAIN, 7, False),
        (grant("discovery", ends_in=7 * DAY), 1, PLAIN, 7, False),
        # Told each time, and always of the same moment.
        (grant(ends_in=7 * DAY), 24, told(6), 7, False),
        # It did not end when it was told to.
        (grant("discovery", ends_in=DAY), 25, PLAIN, None, False),
        # Another refresh token, of which nothing is told.
        (grant("discovery", ends_in=7 * DAY), 24, Tokens("a", refresh_token="new"), None, False),
    ],
)
def test_the_end_of_a_refresh_token(
    row: OAuthGrant, hours: float, tokens: Tokens, ends: float | None, is_moved: bool
) -> None:
    found, moved = after(row, hours, tokens)
    assert (found and round(found, 3), moved) == (ends and round(ends, 3), is_moved)


def test_an_end_that_no_use_moves_stays_through_all_refreshes() -> None:
    row = grant(ends_in=7 * DAY)
    for hour in range(1, 167):
        now = NOW + timedelta(hours=hour)
        for name, value in lifetimes.columns(row, PLAIN, now).items():
            setattr(row, name, value)
        assert (row.refresh_expires_at, row.use_refresh_by) == (NOW + timedelta(days=7), None)


def test_without_a_refresh_token_there_is_no_end_of_one() -> None:
    kept = lifetimes.columns(OAuthGrant(app=OAuthApp(kind="google"), flow="application"), told(1), NOW)
    assert (kept["refresh_expires_at"], kept["use_refresh_by"]) == (None, None)


def test_a_refresh_answer_without_a_refresh_token_keeps_the_old_one_and_the_scope() -> None:
    kept = lifetimes.columns(OAuthGrant(app=OAuthApp(kind="google"), flow="person", scope="mail"), PLAIN, NOW)
    assert "encrypted_refresh_token" not in kept and kept["scope"] == "mail"
