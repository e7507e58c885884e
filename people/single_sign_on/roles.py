"""Sets a person's role for all accounts by the provider's groups at each sign-in; it may rise or fall."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import transaction

from mailbox.models import AccountGrant, AuditEntry
from mailbox.permissions import ROLES
from people.sessions.own_sessions import end_sessions
from people.sign_in import audit


def role_of(claims: dict[str, Any]) -> str | None:
    """The highest role that SSO_ROLES gives to one of the person's groups; None when there is none."""
    said = claims.get(settings.SSO_GROUPS_CLAIM)
    groups = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    given = {settings.SSO_ROLES.get(each) for each in groups if isinstance(each, str)}
    return next((role.value for role in reversed(ROLES) if role.value in given), None)


def are_left_out(claims: dict[str, Any]) -> bool:
    """Whether the token leaves out the groups, as there are too many, and refers to another source (Microsoft, "Groups
    overage claim"). The person's groups are unknown then, so no role is withdrawn."""
    names = claims.get("_claim_names")
    elsewhere = isinstance(names, dict) and settings.SSO_GROUPS_CLAIM in names
    return settings.SSO_GROUPS_CLAIM not in claims and (elsewhere or str(claims.get("hasgroups")).lower() == "true")


def give(user: User, role: str) -> None:
    """Make this the user's role for all accounts. Other sessions have it from their next request on."""
    _set(user, {role})


@transaction.atomic
def take_away(user: User) -> None:
    """Withdraw all roles, also for single accounts, and end the user's sessions. API tokens of the user then reach
    nothing either."""
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
