"""The second factor: its secrets are encrypted as every other secret of this site, and a required one stays."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from mailbox import credentials, permissions
from people.models import SignInRules

KINDS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)  # recovery codes only stand in for one of these


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets are in the column `data` of allauth's table, as Fernet tokens: `rotate_keys` knows them."""

    def encrypt(self, text: str) -> str:
        return credentials.encrypt(text) or ""

    def decrypt(self, encrypted_text: str) -> str:
        return credentials.decrypt(encrypted_text) or ""

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        if authenticator.type not in KINDS or not is_required(authenticator.user):
            return True
        return factors_of(authenticator.user).exclude(pk=authenticator.pk).exists()


def factors_of(user: User) -> QuerySet[Any]:
    found: QuerySet[Any] = Authenticator.objects.filter(user=user, type__in=KINDS)
    return found


def ask_with_roles() -> None:
    """Have both asked for in the one query that each page makes about its user."""
    role = SignInRules.objects.filter(pk=1).values("second_factor_role")
    permissions.also_asked["second_factor_role"] = Subquery(role)
    own = Authenticator.objects.filter(user=OuterRef("pk"), type__in=KINDS)
    permissions.also_asked["has_second_factor"] = Exists(own)


def is_required(user: User) -> bool:
    """Roles contain each other: what is demanded of viewers is demanded of everybody with a role."""
    lowest = permissions.also_known(user)["second_factor_role"]
    return bool(lowest) and permissions.has_role_somewhere(user, lowest)


def is_missing(user: User) -> bool:
    """Whether this person's roles demand a second factor that is not set up."""
    return not permissions.also_known(user)["has_second_factor"] and is_required(user)
