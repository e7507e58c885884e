"""Changes that an administrator of all accounts makes to a user: roles, details, on and off, sessions. All audited."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.permissions import ROLES, Role
from people.directory.administrators import one_stays
from people.links import mails
from people.sessions.own_sessions import end_sessions
from people.sign_in import audit


def require_may_change(by: User, person: User) -> None:
    """Raise PermissionDenied unless `by` may change this user: only a superuser may change a superuser, as in the
    admin."""
    if person.is_superuser and not by.is_superuser:
        raise PermissionDenied(gettext("Only a user with all rights changes a user with all rights."))


def set_role(by: User, person: User, role: str) -> None:
    """Set the user's role for all accounts: a value of Role, or "" for none. Raises StaysAdministrator."""
    with one_stays():
        person.groups.remove(*Group.objects.filter(name__in=[each.value for each in ROLES]))
        if role:
            person.groups.add(Group.objects.get(name=Role(role).value))
        _note(by, "grant_rights", person, f"{person.get_username()}: {role or 'no role'}")


def set_details(by: User, person: User, full_name: str, email: str) -> None:
    """Change name and address. The former address gets a mail that says so."""
    first, _, last = full_name.strip().partition(" ")
    former = person.email
    with transaction.atomic():
        names = {"first_name": first[:150], "last_name": last.strip()[:150]}
        User.objects.filter(pk=person.pk).update(email=email, **names)
        _note(by, "edit_user", person, person.get_username())
    if former.lower() != email.lower():
        mails.tell_email_changed(person, former)


def set_grant(by: User, person: User, account: Account, role: str) -> None:
    """Set the user's role for one account: a value of Role, or "" for none."""
    with transaction.atomic():
        grants = AccountGrant.objects.filter(user=person, account=account)
        if role:
            AccountGrant.objects.update_or_create(user=person, account=account, defaults={"role": Role(role).value})
        else:
            grants.delete()
        verb = "grant_rights" if role else "withdraw_rights"
        _note(by, verb, person, f"{person.get_username()}: {role or 'no role'}, {account.email}", account)


def set_active(by: User, person: User, is_active: bool) -> None:
    """Switch the user on or off; off also ends all sessions. Raises StaysAdministrator."""
    with one_stays():
        User.objects.filter(pk=person.pk).update(is_active=is_active)
        if not is_active:
            end_sessions(person)
        _note(by, "switch_user_on" if is_active else "switch_user_off", person, person.get_username())


@transaction.atomic
def sign_out(by: User, person: User) -> int:
    """End all sessions of the user; return how many."""
    _note(by, "end_sessions", person, person.get_username())
    return end_sessions(person)


def _note(by: User, verb: str, person: User, detail: str, account: Account | None = None) -> None:
    AuditEntry.objects.create(user=by, verb=verb, target=audit.target_of(person), detail=detail, account=account)
