"""Invitations: a new user with roles and without a password, which the person chooses by a link."""

from __future__ import annotations

from collections.abc import Sequence

from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.permissions import Role
from people.sign_in import audit

SIGNED_IN = _("This person has signed in meanwhile: switch the user off instead.")


def create(by: User | None, email: str, full_name: str, role: str, accounts: Sequence[Account]) -> User:
    """Create a user with this role for the given accounts, or for all when none are given. The address is the user
    name. `by` is None on the command line. Raises IntegrityError when the name is taken."""
    first, _space, last = full_name.strip().partition(" ")
    with transaction.atomic():
        user = User(username=email.lower(), email=email, first_name=first[:150], last_name=last.strip()[:150])
        user.set_unusable_password()
        user.save()
        if not accounts:
            user.groups.add(Group.objects.get(name=Role(role).value))
        grants = [AccountGrant(user=user, account=each, role=Role(role).value) for each in accounts]
        AccountGrant.objects.bulk_create(grants)
        where = ", ".join(each.email for each in accounts)
        detail = f"{user.get_username()}: {role}{f', {where}' if where else ''}"[:500]
        AuditEntry.objects.create(user=by, verb="invite", target=audit.target_of(user), detail=detail)
    return user


def is_pending(user: User) -> bool:
    """Whether this person was invited and has not chosen a password yet."""
    return not user.has_usable_password() and user.last_login is None and not _has_sign_on(user)


def _has_sign_on(user: User) -> bool:
    return bool(SocialAccount.objects.filter(user=user).exists())


def withdraw(by: User, user: User) -> bool:
    """Delete an invited user who has never signed in, which ends the invitation's link too. False when the person has
    signed in or chosen a password meanwhile."""
    with transaction.atomic():
        never_set = {"last_login": None, "password__startswith": UNUSABLE_PASSWORD_PREFIX, "socialaccount": None}
        unseen = User.objects.filter(pk=user.pk, **never_set)
        if not unseen.exists():
            return False
        AuditEntry.objects.create(
            user=by, verb="withdraw_invitation", target=audit.target_of(user), detail=user.get_username()
        )
        user.delete()
    return True
