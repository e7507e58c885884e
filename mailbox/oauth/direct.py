"""Asks a provider for tokens without a person: by refresh token, client credentials, service account or own class."""

from __future__ import annotations

from mailbox.errors import SignInRefused
from mailbox.models import OAuthGrant
from mailbox.oauth import apps, client, external, protocol
from mailbox.oauth.protocol import AppRefused, GrantIsOver, Tokens

WITHOUT_A_PERSON = (OAuthGrant.Flow.SERVICE_ACCOUNT, OAuthGrant.Flow.APPLICATION)
UNKNOWN_MAILBOX = "invalid email or user id"  # Google's words when the mailbox that a service account names is unknown


def ask(grant: OAuthGrant, email: str, user: str) -> Tokens:
    """New tokens for the mailbox `user`, by the grant's flow. Raises MailErrors, and credentials.DecryptionFailed.

    Where no person consented, invalid_grant is about what the site signed: its key, or the clock of this host
    (RFC 7523, 3.1). That is AppRefused: the provider is asked again, and no account is ended by one host whose clock
    is wrong.
    """
    try:
        return _by_flow(grant, email, user)
    except GrantIsOver as error:
        if grant.flow not in WITHOUT_A_PERSON or UNKNOWN_MAILBOX in error.reply.lower():
            raise
        raise AppRefused(f"{AppRefused.SENTENCE}: {error.reply}", reply=error.reply) from error


def _by_flow(grant: OAuthGrant, email: str, user: str) -> Tokens:
    if grant.flow == OAuthGrant.Flow.EXTERNAL:
        return external.refresh(email, user)
    if grant.app is None:
        raise SignInRefused("The provider of this sign-in was removed.")
    provider = apps.provider_of(grant.app)
    if grant.flow == OAuthGrant.Flow.SERVICE_ACCOUNT:
        account = apps.service_account_of(grant.app)
        return client.ask_for_tokens(protocol.service_account_request(provider, account, user), [account.private_key])
    known = apps.client_of(grant.app)
    if grant.flow == OAuthGrant.Flow.APPLICATION:
        return client.ask_for_tokens(protocol.client_credentials_request(provider, known), [known.client_secret])
    refresh_token = grant.refresh_token or ""
    secrets = [each for each in (refresh_token, known.client_secret) if each]
    return client.ask_for_tokens(protocol.refresh_request(provider, known, refresh_token), secrets)


def idle_seconds(grant: OAuthGrant) -> float | None:
    """After how many seconds without use the refresh token expires; None where no such limit is known."""
    app = grant.app
    if app is None or grant.flow != OAuthGrant.Flow.PERSON or not (app.document or apps.known(app.kind)):
        return None
    return apps.provider_of(app).idle_seconds
