"""System checks of sign-in, for `manage.py check` and `check --deploy`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import CheckMessage, Error, Warning
from django.db import DatabaseError

from mailbox.permissions import ROLES, Role, has_role_everywhere


def trusted_proxies_are_named(**_: Any) -> list[CheckMessage]:
    """Warn when PRX_EMAIL_TRUSTED_PROXIES is not set: behind a proxy all clients then seem to have its address, so one
    client's failed sign-ins lock everybody out."""
    if not settings.HTTPS or settings.TRUSTED_PROXIES:
        return []
    return [
        Warning(
            "PRX_EMAIL_TRUSTED_PROXIES is not set, so all people seem to sign in from the proxy's one address.",
            hint="Set it to the proxy's address, such as 127.0.0.1: then X-Forwarded-For is believed from there alone.",
            id="people.W001",
        )
    ]


def somebody_can_sign_in(**_: Any) -> list[CheckMessage]:
    """With local passwords off, require a break-glass administrator, who can sign in when the provider fails."""
    if settings.LOCAL_PASSWORDS:
        return []
    name = settings.BREAK_GLASS_USER
    if not name or not _is_administrator_with_password(name):
        return [
            Error(
                "PRX_EMAIL_LOCAL_PASSWORDS is 0, and PRX_EMAIL_BREAK_GLASS_USER names no active administrator of all"
                " accounts with a password: when the company's sign-on fails, nobody gets in.",
                hint="Name such a user, or set PRX_EMAIL_LOCAL_PASSWORDS=1 until there is one.",
                id="people.E001",
            )
        ]
    return []


def _is_administrator_with_password(name: str) -> bool:
    try:
        if not User.objects.exists():
            return True  # before `prepare`, which creates the first administrator
        user = User.objects.filter(username=name, is_active=True).first()
        return user is not None and user.has_usable_password() and has_role_everywhere(user, Role.ADMINISTRATOR)
    except DatabaseError:
        return True  # the database is unreachable, or not migrated yet


def groups_leave_somebody(**_: Any) -> list[CheckMessage]:
    """Warn when single sign-on is used without a break-glass administrator.

    The provider's groups withdraw roles at sign-in, also that of the last administrator.
    """
    name = settings.BREAK_GLASS_USER
    if not settings.SSO_ISSUER or (name and _is_administrator_with_password(name)):
        return []
    return [
        Warning(
            "PRX_EMAIL_SSO_ISSUER is set, and PRX_EMAIL_BREAK_GLASS_USER names no active administrator of all accounts"
            " with a password: the provider's groups may leave nobody who administers this site.",
            hint="Name such a user: the provider's groups say nothing about them.",
            id="people.W002",
        )
    ]


def sign_on_is_whole(**_: Any) -> list[CheckMessage]:
    """Require a complete configuration of single sign-on; else the first person who uses it would notice."""
    if not settings.SSO_ISSUER:
        return []
    faults = []
    if not settings.SSO_CLIENT_ID or not settings.SSO_CLIENT_SECRET:
        faults.append("PRX_EMAIL_SSO_CLIENT_ID and PRX_EMAIL_SSO_CLIENT_SECRET must be set.")
    if not settings.SSO_ROLES or set(settings.SSO_ROLES.values()) - {role.value for role in ROLES}:
        faults.append("PRX_EMAIL_SSO_ROLES must name roles: GROUP=viewer, GROUP=operator or GROUP=administrator.")
    if not settings.SSO_ISSUER.startswith("https://") and not settings.OAUTH_ALLOW_HTTP:
        faults.append("PRX_EMAIL_SSO_ISSUER must begin with https://: its answers are believed for their TLS alone.")
    return [Error(fault, hint="docs/sign-in.md says what each one is.", id="people.E002") for fault in faults]
