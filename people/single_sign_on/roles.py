"""The role for all accounts, which follows the provider's groups at each sign-in, up and down."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User

from mailbox.models import AccountGrant, AuditEntry
from mailbox.permissions import ROLES
from people.sessions.own_sessions import end_sessions
from people.sign_in import audit


def role_of(claims: dict[str, Any]) -> str | None:
    """The highest role that one of the person's groups has; None for none of them."""
    said = claims.get(settings.SSO_GROUPS_CLAIM)
    groups = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    given = {settings.SSO_ROLES.get(each) for each in groups if isinstance(each, str)}
    return next((role.value for role in reversed(ROLES) if role.value in given), None)


def are_left_out(claims: dict[str, Any]) -> bool:
    """Whether the groups are too many for a token, so that it names none and says where to ask for them (Microsoft,
    "Groups overage claim"). That says nothing of a person's groups, and takes nothing away."""
    names = claims.get("_claim_names")
    elsewhere = isinstance(names, dict) and settings.SSO_GROUPS_CLAIM in names
    return settings.SSO_GROUPS_CLAIM not in claims and (elsewhere or str(claims.get("hasgroups")).lower() == "true")


def give(user: User, role: str) -> None:
    """Other sessions of the user have it from their next page, as they ask the table."""
    _set(user, {role})


def take_away(user: User) -> None:
    """Whoever left the groups is out: of other sessions, and of what programs with their tokens may reach."""
    _set(user, set())
    if AccountGrant.objects.filter(user=user).delete()[0]:
        words = "none, for single accounts too"
        AuditEntry.objects.create(verb="roles_from_sign_on", target=audit.target_of(user), detail=words)
    end_sessions(user)


def _set(user: User, wanted: set[str]) -> None:
    present = set(user.groups.filter(name__in=[role.value for role in ROLES]).values_list("name", flat=True))
    if present == wanted:
        return
    user.groups.remove(*Group.objects.filter(name__in=present - wanted))
    user.groups.add(*Group.objects.filter(name__in=wanted - present))
    words = ", ".join(sorted(wanted)) or "none"
    AuditEntry.objects.create(verb="roles_from_sign_on", target=audit.target_of(user), detail=words)
