"""What an account's page says of each transport: which kind of sign-in, how long it holds, what happens next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailbox.accounts.sign_in_state import states
from mailbox.models import Account, OAuthApp, OAuthGrant, Transport

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER, PAST = NOW + timedelta(days=90), NOW - timedelta(hours=1)
MOVED = {"refresh_expires_at": LATER, "use_refresh_by": NOW + timedelta(days=45)}  # by each use
GRANT: dict[str, Any] = {"flow": "person", "identity": "ann@example.test", "encrypted_refresh_token": "r"}


@pytest.mark.parametrize(
    ("secret", "way", "until", "next_words", "tone"),
    [
        ({"encrypted_password": "p"}, "password", None, "until it is changed there", "fine"),
        ({"encrypted_oauth_token": "t", "oauth_expires_at": LATER}, "OAuth access token", LATER, "not renewed", "fine"),
        ({"encrypted_oauth_token": "t", "oauth_expires_at": PAST}, "OAuth access token", PAST, "not renewed", "needs"),
        ({"grant": {}}, "by Example, signed in as ann@example.test", None, "provider or its owner ends", "fine"),
        ({"grant": MOVED}, "by Example, signed in as", LATER, "the grant with it", "fine"),
        ({"grant": {"refresh_expires_at": LATER}}, "by Example", LATER, "until then: sign in again before", "fine"),
        ({"grant": {"failure": "app"}}, "by Example", None, "nobody needs to sign in again", "needs"),
        ({"grant": {"failure": "key"}}, "by Example", None, "key of a stored secret is missing", "needs"),
        ({"grant": {"encrypted_refresh_token": None, "expires_at": PAST}}, "by Example", PAST, "not renewed", "fine"),
        ({"grant": {"failure": "ended"}}, "by Example", None, "has ended: sign in again", "needs"),
    ],
)
def test_each_transport_says_its_kind_its_end_and_what_follows(
    secret: dict[str, Any], way: str, until: datetime | None, next_words: str, tone: str
) -> None:
    given = dict(secret)
    if "grant" in given:
        given["grant"] = OAuthGrant(app=OAuthApp(name="Example"), **(GRANT | given["grant"]))
    smtp = Transport(kind="smtp", encrypted_password="p")
    imap_state, smtp_state = states(Account(imap=Transport(kind="imap", **given), smtp=smtp), NOW)
    assert way in imap_state.way and next_words in imap_state.next
    assert (imap_state.until, imap_state.tone, smtp_state.way) == (until, tone, "password")


def test_a_transport_that_a_server_refused_needs_somebody() -> None:
    imap = Transport(kind="imap", encrypted_password="p", needs_sign_in_since=PAST)
    found = states(Account(imap=imap, smtp=Transport(kind="smtp", encrypted_password="p")), NOW)
    assert [each.tone for each in found] == ["needs", "fine"]
