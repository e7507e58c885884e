"""Exchanges an authorization code for tokens, checks them, and makes an account sign in by them. Runs on a worker.

`device` and commands use the later steps: check, make_grant, use_grant.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from mailbox.accounts.create import TransportFields, create_account
from mailbox.accounts.credentials_change import FAILURES, SECRETS, announce_change, forget_failures
from mailbox.credentials import DecryptionFailed, decrypt
from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, ProviderError
from mailbox.imap.session import ImapSession
from mailbox.models import Account, AuditEntry, OAuthApp, OAuthGrant, OAuthSignIn
from mailbox.oauth import apps, client, id_token, lifetimes, protocol
from mailbox.oauth.protocol import Tokens
from mailbox.permissions import Role, accounts_for, has_role_everywhere

logger = logging.getLogger(__name__)
Status = OAuthSignIn.Status
NO_REFRESH_TOKEN = gettext_noop(
    "The provider gave no refresh token, so the sign-in would end within the hour. Its registration must allow "
    "offline access (for another provider: the scope offline_access)."
)

NOT_ALLOWED = gettext_noop("Whoever began this sign-in may no longer do so. Nothing was changed.")


def finish(pk: int) -> int | None:
    """Ask the provider, once, for the tokens of a sign-in whose browser has come back with a code.

    Returns the account's pk, or None when it failed; the reason is then in the row's `error`.
    """
    related = ("app", "asked_by", "account__imap__grant", "account__smtp__grant")
    row = OAuthSignIn.objects.select_related(*related).filter(pk=pk).first()
    if row is None or not row.move(Status.RETURNED, Status.ASKING, timezone.now(), encrypted_code=None):
        return None  # the row was deleted, or the task ran before: a code can be used once (RFC 6749, 4.1.2)
    try:
        return _finish(row)
    except (MailError, DecryptionFailed) as error:
        words = str(error)
    except ValidationError as error:
        words = " ".join(error.messages)
    except IntegrityError:
        words = gettext_noop("An account with this address exists already.")
    except Exception as error:
        logger.exception("oauth_sign_in_failed")
        words = f"Unexpected {type(error).__name__}: see the workers' log."
    row.move(Status.ASKING, Status.FAILED, timezone.now(), error=words[:1000])
    return None


def _may_still(row: OAuthSignIn) -> bool:
    """Whether the person still has the right to add or change the account: rights may end during a sign-in."""
    if row.account is None:
        return has_role_everywhere(row.asked_by, Role.ADMINISTRATOR)
    return accounts_for(row.asked_by, Role.ADMINISTRATOR).filter(pk=row.account.pk).exists()


def _finish(row: OAuthSignIn) -> int:
    if not _may_still(row):
        raise ProviderError(NOT_ALLOWED)
    provider, known = apps.provider_of(row.app), apps.client_of(row.app)
    code, verifier = decrypt(row.encrypted_code) or "", decrypt(row.encrypted_verifier) or ""
    request = protocol.code_request(provider, known, code=code, callback=row.callback, verifier=verifier)
    tokens = client.ask_for_tokens(request, [each for each in (code, verifier, known.client_secret) if each])
    identity = check(row.app, tokens, mailbox_of(row), nonce=row.nonce, is_shared=bool(row.settings.get("shared")))
    with transaction.atomic():
        grant = make_grant(row.app, tokens, identity, timezone.now())
        if row.account is None:
            account, verb = add_account(row.email, row.settings, grant), "add_account"
        else:
            account, verb = use_grant(row.account, grant), "sign_in_again"
        AuditEntry.objects.create(
            user_id=row.asked_by_id, account=account, verb=verb, target=f"account:{account.pk}", detail=row.app.name
        )
        row.move(Status.ASKING, Status.DONE, timezone.now(), account=account)
    return account.pk


def mailbox_of(row: OAuthSignIn) -> Endpoint:
    """The IMAP endpoint that the tokens must open, without credentials."""
    if row.account is not None:
        return bare_endpoint(row.account)
    chosen = row.settings
    return Endpoint(
        chosen["imap_host"],
        int(chosen["imap_port"]),
        "tls",
        chosen.get("user") or row.email,
        ca_certificate=chosen.get("ca_certificate", ""),
    )


def bare_endpoint(account: Account) -> Endpoint:
    """The account's IMAP server without credentials."""
    imap = account.imap  # the stored secrets are not read, as their encryption key may be lost
    return Endpoint(
        imap.host,
        imap.port,
        imap.security,
        imap.user,
        ca_certificate=account.ca_certificate,
        public_only=imap.public_only,
    )


def check(app: OAuthApp, tokens: Tokens, mailbox: Endpoint, *, nonce: str, is_shared: bool) -> str:
    """Return the identity that signed in. Raises a MailError unless the tokens can be renewed and open this mailbox.

    Another identity than the mailbox's user is accepted only for a shared mailbox. In that case, and when no ID token
    names an identity, a login to the mail server decides.
    """
    provider, known = apps.provider_of(app), apps.client_of(app)
    if missing := protocol.missing_scopes(provider, tokens.scope):
        raise ProviderError(f"The consent leaves out what the mailbox needs: {', '.join(missing)}. Agree to all of it.")
    if not tokens.refresh_token:
        raise ProviderError(NO_REFRESH_TOKEN)
    names: list[str] = []
    if tokens.id_token:
        names = id_token.identities(
            tokens.id_token, issuer=provider.issuer, client_id=known.client_id, nonce=nonce, now=time.time()
        )
    if mailbox.user.lower() in names:
        return mailbox.user
    if names and not is_shared:
        raise ProviderError(
            f"You signed in as {names[0]}, and the mailbox is {mailbox.user}. Sign in as {mailbox.user}, or say that "
            "it is a shared mailbox."
        )
    try_login(mailbox, tokens.access_token)
    return names[0] if names else mailbox.user


def try_login(mailbox: Endpoint, access_token: str) -> None:
    """Sign in to the IMAP server with this token, and out again. Raises MailErrors."""
    endpoint = replace(mailbox, oauth_token=access_token)
    timeouts: dict[str, Any] = {
        "connect_timeout": settings.CONNECT_TIMEOUT_SECONDS,
        "command_timeout": settings.COMMAND_TIMEOUT_SECONDS,
    }
    with ImapSession.open(endpoint, **timeouts):
        pass


def make_grant(
    app: OAuthApp | None, tokens: Tokens, identity: str, now: datetime, flow: str = OAuthGrant.Flow.PERSON
) -> OAuthGrant:
    """Save a new grant with these tokens."""
    grant = OAuthGrant(app=app, flow=flow, identity=identity[:320], granted_at=now)
    for name, value in lifetimes.columns(grant, tokens, now).items():
        setattr(grant, name, value)
    grant.save()
    return grant


def use_grant(account: Account, grant: OAuthGrant, kinds: tuple[str, ...] = ("imap", "smtp")) -> Account:
    """Make the account's transports sign in by this grant; delete the former one. Call it in a transaction."""
    former = {getattr(account, kind).grant_id for kind in kinds} - {None, grant.pk}
    for kind in kinds:
        transport = getattr(account, kind)
        transport.password, transport.oauth_token, transport.grant = None, None, grant
        forget_failures(transport)
        transport.save(update_fields=[*SECRETS, *FAILURES])
    drop_unused(former)
    announce_change(account.pk)
    return account


def drop_unused(pks: set[int]) -> None:
    """Delete those of these grants that no transport uses."""
    OAuthGrant.objects.filter(pk__in=pks, transports=None).delete()


def add_account(email: str, chosen: dict[str, Any], grant: OAuthGrant) -> Account:
    """Create an account with these servers. No folder is synced until a person has chosen some.

    Raises ValidationError. Call it in a transaction.
    """
    user = chosen.get("user") or email
    imap = TransportFields(chosen["imap_host"], int(chosen["imap_port"]), user, grant=grant)
    smtp = TransportFields(
        chosen["smtp_host"], int(chosen["smtp_port"]), user, chosen.get("smtp_security") or "tls", grant=grant
    )
    account = create_account(email, imap, smtp, ca_certificate=chosen.get("ca_certificate", ""))
    account.folders.update(sync_enabled=False)
    announce_change(account.pk)
    return account
