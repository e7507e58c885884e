"""Tokens of programs: making, authenticating and ending them."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext

from api import rates
from api.models import Scope, Token
from mailbox.db import statements
from mailbox.models import Account, AuditEntry
from mailbox.models.accounts import AccountQuerySet
from mailbox.permissions import ROLES, Role, accounts_for, has_role_everywhere

# What each request needs of a token and its user. By the ORM this look-up would be a tenth of a mail's time.
_TOKEN = statements.RowReader(
    Token, "id", "user_id", "name", "digest", "scopes", "all_accounts", "networks", "per_minute", "expires_at"
)
_USER = statements.RowReader(User, "id", "username", "is_superuser", "is_staff", "is_active")
_OF_DIGEST = f"""SELECT {_TOKEN.columns}, {_USER.columns} FROM "api_tokens"
INNER JOIN "auth_user" ON "auth_user"."id" = "api_tokens"."user_id" WHERE "api_tokens"."digest" = %s"""  # noqa: S608
_IS_ACCOUNT = 'SELECT 1 FROM "accounts" WHERE "id" = %s'
PREFIX = "prx_"  # by which secret scanners find a token that was committed to a repository
MOST_OF_A_USER = 50
ROLE_OF = {
    Scope.READ: Role.VIEWER,
    Scope.SEND: Role.OPERATOR,
    Scope.OPERATE: Role.OPERATOR,
    Scope.ADMINISTER: Role.ADMINISTRATOR,
    Scope.PEOPLE: Role.ADMINISTRATOR,
}


class TokenRefused(Exception):
    """The request or the new token is refused. str() is a sentence for the program's author; `status` is for HTTP."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Terms:
    """What a token allows. accounts: None for all accounts that its user may use, including later ones."""

    name: str
    scopes: Sequence[Scope]
    expires_at: datetime
    accounts: Sequence[Account] | None = None
    networks: Sequence[str] = ()
    per_minute: int = 600


@dataclass(frozen=True)
class Caller:
    """A program whose token was accepted for this request."""

    token: Token

    def accounts(self, scope: Scope) -> AccountQuerySet:
        """The accounts that the token and its user's role both cover. Raises TokenRefused without the scope."""
        self._demand(scope)
        having = accounts_for(self.token.user, ROLE_OF[scope])
        return having if self.token.all_accounts else having.filter(pk__in=self.token.accounts.values("pk"))

    def covers(self, scope: Scope, account_id: int) -> bool:
        """Whether accounts(scope) has this account. Raises TokenRefused without the scope."""
        if self.has_everywhere(scope):
            return bool(statements.rows(_IS_ACCOUNT, [account_id]))
        return self.accounts(scope).filter(pk=account_id).exists()

    def has_everywhere(self, scope: Scope) -> bool:
        """Whether the token and its user's role both hold for all accounts. Raises TokenRefused without the scope."""
        self._demand(scope)
        return self.token.all_accounts and has_role_everywhere(self.token.user, ROLE_OF[scope])

    def demand_everywhere(self, scope: Scope) -> None:
        """Raise TokenRefused unless has_everywhere(): for operations that concern no single account."""
        if not self.has_everywhere(scope):
            message = gettext("This needs a token for all accounts, of a user with the role %(role)s for all accounts.")
            raise TokenRefused(HTTPStatus.FORBIDDEN, message % {"role": ROLE_OF[scope].label})

    def demand_scopes_of(self, role: str) -> None:
        """Raise TokenRefused unless this token has every scope that needs at most this role: it may not have a person
        do what it may not do itself."""
        for scope, least in ROLE_OF.items():
            if ROLES.index(least) <= ROLES.index(Role(role)):
                self._demand(scope)

    def _demand(self, scope: Scope) -> None:
        if scope.value not in self.token.scopes:
            message = gettext("This token lacks the scope %(scope)s.") % {"scope": scope.value}
            raise TokenRefused(HTTPStatus.FORBIDDEN, message)


def make(user: User, terms: Terms, by: User | None) -> tuple[Token, str]:
    """Make a token; returns its row and the token itself, which is stored nowhere. Raises TokenRefused if the user has
    MOST_OF_A_USER already.

    by: the user who makes it, for the activity; None for a command.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # concurrent calls count one after the other
        if Token.objects.filter(user=user).count() >= MOST_OF_A_USER:
            message = gettext("%(number)s tokens are there already; end one first.") % {"number": MOST_OF_A_USER}
            raise TokenRefused(HTTPStatus.CONFLICT, message)
        token = Token.objects.create(
            user=user,
            name=terms.name,
            digest=_digest(secret),
            scopes=sorted({scope.value for scope in terms.scopes}),
            all_accounts=terms.accounts is None,
            networks=list(terms.networks),
            per_minute=terms.per_minute,
            expires_at=terms.expires_at,
        )
        token.accounts.set(terms.accounts or [])
        _note(by, "make_token", token)
    return token, secret


def end(token: Token, by: User | None) -> None:
    """Delete a token, and record that in the activity. `by`: the user, None for a command."""
    with transaction.atomic():
        _note(by, "end_token", token)
        token.delete()


def authenticate(secret: str, address: str, now: datetime) -> Caller:
    """Check a token that a program presents from an IP address; counts the request and notes the use.

    Raises TokenRefused: 401 for an invalid token (without the reason, against guessing), 403 for an IP address outside
    its networks, 429 above its rate.
    """
    token = of_secret(secret)
    if token is None or token.expires_at <= now or not token.user.is_active:
        raise TokenRefused(HTTPStatus.UNAUTHORIZED, gettext("The token is unknown, ended or expired."))
    if token.networks and not _is_within(address, token.networks):
        raise TokenRefused(HTTPStatus.FORBIDDEN, gettext("This token is not allowed from this address."))
    if not rates.count(token, address, now):
        message = gettext("More than %(number)s requests in this minute.") % {"number": token.per_minute}
        raise TokenRefused(HTTPStatus.TOO_MANY_REQUESTS, message)
    return Caller(token)


def of_secret(secret: str) -> Token | None:
    """The row of a token, even if it is expired or its user inactive; None if there is none."""
    found = statements.rows(_OF_DIGEST, [_digest(secret)])
    if not found:
        return None
    token = _TOKEN.read(found[0])
    token.user = _USER.read(found[0][len(_TOKEN.names) :])
    return token


def _is_within(address: str, networks: Sequence[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # the server did not state an IP address
        return False
    return any(found in ipaddress.ip_network(network) for network in networks)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _note(by: User | None, verb: str, token: Token) -> None:
    detail = f"{token.user.get_username()}: {token.name} ({', '.join(token.scopes)})"
    AuditEntry.objects.create(user=by, verb=verb, target=f"token:{token.pk}", detail=detail)
