"""Whether a user must have a second factor (SignInRules), and whether the user has one."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from mailbox import permissions
from people.models import SignInRules

KINDS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)  # recovery codes only replace one of these


def factors_of(user: User) -> QuerySet[Any]:
    """The user's factors, apps and passkeys; recovery codes are none."""
    found: QuerySet[Any] = Authenticator.objects.filter(user=user, type__in=KINDS)
    return found


def ask_with_roles() -> None:
    """Add the required role and whether the user has a factor to the one query that each page makes about its user
    (mailbox.permissions)."""
    role = SignInRules.objects.filter(pk=1).values("second_factor_role")
    permissions.also_asked["second_factor_role"] = Subquery(role)
    own = Authenticator.objects.filter(user=OuterRef("pk"), type__in=KINDS)
    permissions.also_asked["has_second_factor"] = Exists(own)


def is_required(user: User) -> bool:
    """Whether the user has a role, for any account, that requires a second factor: the rule's lowest role or a higher
    one."""
    lowest = permissions.also_known(user)["second_factor_role"]
    return bool(lowest) and permissions.has_role_somewhere(user, lowest)


def is_missing(user: User) -> bool:
    """Whether a second factor is required and not set up."""
    return not permissions.also_known(user)["has_second_factor"] and is_required(user)
