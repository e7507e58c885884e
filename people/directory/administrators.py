"""Keeps at least one administrator of all accounts who can sign in, whichever page makes the change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from mailbox.permissions import PERMISSION_OF, Role

NOBODY_LEFT = _("Nothing was changed: without this person nobody could administer the site.")


class StaysAdministrator(Exception):
    """The change would leave no administrator who can sign in; it was rolled back."""


@contextmanager
def one_stays() -> Iterator[None]:
    """A transaction that raises StaysAdministrator, and so is rolled back, when it removes the last administrator.

    A lock on the group makes such changes run one after the other, so that each counts correctly.
    """
    with transaction.atomic():
        list(Group.objects.select_for_update().filter(name=Role.ADMINISTRATOR.value))
        had_one = _who_can_sign_in().exists()
        yield
        if had_one and not _who_can_sign_in().exists():
            raise StaysAdministrator


def _who_can_sign_in() -> QuerySet[User]:
    """Active administrators of all accounts who can sign in: by a password that is allowed, or by single sign-on."""
    name = PERMISSION_OF[Role.ADMINISTRATOR].removeprefix("mailbox.")
    of_group = Q(groups__permissions__codename=name) | Q(user_permissions__codename=name)
    can_sign_in: Any = ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    if not settings.LOCAL_PASSWORDS:
        can_sign_in &= Q(username=settings.BREAK_GLASS_USER)
    if settings.SSO_ISSUER:
        can_sign_in |= Exists(SocialAccount.objects.filter(user=OuterRef("pk")))
    return User.objects.filter(Q(is_superuser=True) | of_group, can_sign_in, is_active=True)
