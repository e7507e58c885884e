"""What an administrator of all accounts does to a person: roles, on and off, sessions. Each change is audited.

The last administrator of all accounts who can sign in stays one: whoever would take that away gets StaysAdministrator.
"""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.permissions import PERMISSION_OF, ROLES, Role, has_role_everywhere
from people import sign_in_log
from people.own_sessions import end_sessions


class StaysAdministrator(Exception):
    """Without this person nobody could administer the site; nothing was changed."""


def require_may_change(by: User, person: User) -> None:
    """Only a superuser changes a superuser, as in Django's admin here. Raises PermissionDenied."""
    if person.is_superuser and not by.is_superuser:
        raise PermissionDenied(gettext("Only a user with all rights changes a user with all rights."))


def set_role(by: User, person: User, role: str) -> None:
    """`role` for all accounts: a value of Role, or "" for none. Raises StaysAdministrator."""
    with transaction.atomic():
        was = has_role_everywhere(_locked(person), Role.ADMINISTRATOR)
        person.groups.remove(*Group.objects.filter(name__in=[each.value for each in ROLES]))
        if role:
            person.groups.add(Group.objects.get(name=Role(role).value))
        _keep_one_administrator(person, was)
        _note(by, "grant_rights", person, f"{person.get_username()}: {role or 'no role'}")


def set_grant(by: User, person: User, account: Account, role: str) -> None:
    """`role` for one account, or "" for none."""
    with transaction.atomic():
        grants = AccountGrant.objects.filter(user=person, account=account)
        if role:
            AccountGrant.objects.update_or_create(user=person, account=account, defaults={"role": Role(role).value})
        else:
            grants.delete()
        verb = "grant_rights" if role else "withdraw_rights"
        _note(by, verb, person, f"{person.get_username()}: {role or 'no role'}, {account.email}", account)


def set_active(by: User, person: User, is_active: bool) -> None:
    """Whoever is switched off is signed out everywhere at once. Raises StaysAdministrator."""
    with transaction.atomic():
        was = has_role_everywhere(_locked(person), Role.ADMINISTRATOR)
        User.objects.filter(pk=person.pk).update(is_active=is_active)
        _keep_one_administrator(person, was)
        if not is_active:
            end_sessions(person)
        _note(by, "switch_user_on" if is_active else "switch_user_off", person, person.get_username())


def sign_out(by: User, person: User) -> int:
    """How many sessions were ended."""
    _note(by, "end_sessions", person, person.get_username())
    return end_sessions(person)


def _locked(person: User) -> User:
    """The person as stored. Changes of administrators come one after the other: each counts who is left."""
    list(Group.objects.select_for_update().filter(name=Role.ADMINISTRATOR.value))
    return User.objects.get(pk=person.pk)


def _keep_one_administrator(person: User, was_administrator: bool) -> None:
    if was_administrator and not _administrators().exists():
        raise StaysAdministrator


def _administrators() -> QuerySet[User]:
    """Active administrators of all accounts who can sign in: with a password that opens something, or by sign-on."""
    name = PERMISSION_OF[Role.ADMINISTRATOR].removeprefix("mailbox.")
    of_group = Q(groups__permissions__codename=name) | Q(user_permissions__codename=name)
    can_sign_in: Any = ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    if not settings.LOCAL_PASSWORDS:
        can_sign_in &= Q(username=settings.BREAK_GLASS_USER)
    if settings.SSO_ISSUER:
        can_sign_in |= Exists(SocialAccount.objects.filter(user=OuterRef("pk")))
    return User.objects.filter(Q(is_superuser=True) | of_group, can_sign_in, is_active=True)


def _note(by: User, verb: str, person: User, detail: str, account: Account | None = None) -> None:
    AuditEntry.objects.create(user=by, verb=verb, target=sign_in_log.target_of(person), detail=detail, account=account)
