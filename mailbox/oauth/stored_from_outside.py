"""Stores secrets that come from a vault or the environment instead of a page."""

from __future__ import annotations

from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from mailbox.accounts.credentials_change import FAILURES, SECRETS, announce_change, forget_failures, put_secret
from mailbox.models import Account, OAuthGrant
from mailbox.oauth import exchange, external
from mailbox.oauth.protocol import Tokens

KINDS = {"imap": ("imap",), "smtp": ("smtp",), "both": ("imap", "smtp")}
MAX_UNIX_SECONDS = 253_402_300_799  # the last second of the year 9999


def moment_of(seconds: str) -> datetime:
    """The time that a text in Unix seconds states. Raises ValidationError."""
    if not (seconds.isascii() and seconds.isdigit()) or int(seconds) > MAX_UNIX_SECONDS:
        raise ValidationError(f"The end of a token is given in Unix seconds, not as {seconds!r}.")
    return datetime.fromtimestamp(int(seconds), UTC)


def store_secret(
    account: Account, kinds: tuple[str, ...], *, password: str = "", token: str = "", ends: datetime | None = None
) -> None:
    """Store a password, or an access token that expires at `ends`, for these transports. Raises ValidationError.

    With a class of the site's own (`external`) a token becomes the first of a grant, which that class then renews.
    Workers and IDLE connections use the secret from their next sign-in on. Recorded failures of the transports are
    cleared, so that waiting mail and syncs go on at once.
    """
    with transaction.atomic():
        former = {getattr(account, kind).grant_id for kind in kinds} - {None}
        if token and external.is_configured():
            now = timezone.now()
            lasts = (ends - now).total_seconds() if ends else None
            grant = exchange.make_grant(None, Tokens(token), "", now, OAuthGrant.Flow.EXTERNAL)
            if lasts is not None:
                OAuthGrant.objects.filter(pk=grant.pk).update(expires_at=ends)
            exchange.use_grant(account, grant, kinds)
            return
        for kind in kinds:
            transport = getattr(account, kind)
            put_secret(transport, password, token)
            transport.oauth_expires_at = ends if token else None
            forget_failures(transport)
            transport.save(update_fields=[*SECRETS, *FAILURES])
        exchange.drop_unused(former)
        announce_change(account.pk)
