"""Sign-in on a machine without a browser: the person types a code in a browser elsewhere (RFC 8628)."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from mailbox.errors import NetworkError, ProviderError, Throttled
from mailbox.models import Account, OAuthApp, OAuthGrant
from mailbox.oauth import apps, client, direct, exchange, protocol
from mailbox.oauth.protocol import DeviceCode, StillPending, Tokens

SLOWER_BY = 5.0  # seconds added to the interval after slow_down (RFC 8628, 3.5)
LONGEST_INTERVAL = 60.0


def ask_for_code(app: OAuthApp) -> DeviceCode:
    """Ask the provider for the code that the person types. Raises MailErrors."""
    provider, known = apps.provider_of(app), apps.client_of(app)
    if not provider.device_authorization_endpoint:
        raise ProviderError("This provider offers no sign-in of devices (RFC 8628).")
    return client.ask_for_device_code(protocol.device_request(provider, known), [known.client_secret])


def wait_for_tokens(app: OAuthApp, code: DeviceCode, sleep: Callable[[float], object] = time.sleep) -> Tokens:
    """Poll the provider until the person has consented; return the tokens. Raises MailErrors, also when the code
    has expired."""
    provider, known = apps.provider_of(app), apps.client_of(app)
    request = protocol.device_token_request(provider, known, code.device_code)
    until, interval = time.monotonic() + code.expires_in, min(code.interval, LONGEST_INTERVAL)
    while True:
        sleep(interval)
        try:
            return client.ask_for_tokens(request, [each for each in (known.client_secret, code.device_code) if each])
        except StillPending as pending:
            interval += SLOWER_BY if pending.wait_seconds else 0
            _check_time(until, pending)
        except (NetworkError, Throttled) as trouble:  # an outage is waited out, as the person may be typing the code
            interval = min(max(2 * interval, trouble.wait_seconds or 0), LONGEST_INTERVAL)
            _check_time(until, trouble)


def _check_time(until: float, error: Exception) -> None:
    if time.monotonic() > until:
        raise ProviderError("Nobody typed the code in time; begin again.") from error


def sign_in(account: Account, app: OAuthApp, tokens: Tokens, *, is_shared: bool) -> OAuthGrant:
    """Make the account sign in by these tokens. Raises MailErrors when they do not open its mailbox."""
    mailbox = exchange.bare_endpoint(account)
    identity = exchange.check(app, tokens, mailbox, nonce="", is_shared=is_shared)
    with transaction.atomic():
        grant = exchange.make_grant(app, tokens, identity, timezone.now())
        exchange.use_grant(account, grant)
    return grant


def direct_grant(account: Account, app: OAuthApp, flow: str) -> OAuthGrant:
    """Make the account sign in by client credentials or a service account, without a person.

    Whether the tokens open the mailbox is tested by a login to the mail server. Raises MailErrors and
    credentials.DecryptionFailed.
    """

    grant = OAuthGrant(app=app, flow=flow)
    tokens = direct.ask(grant, account.email, account.imap.user)
    exchange.try_login(exchange.bare_endpoint(account), tokens.access_token)
    with transaction.atomic():
        grant = exchange.make_grant(app, tokens, "", timezone.now(), flow)
        exchange.use_grant(account, grant)
    return grant
