"""The rows of the list of people: users with roles, second factor, last sign-in and number of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from mailbox.db.ignoring_case import contains
from mailbox.models import AccountGrant
from mailbox.permissions import ROLES, Role
from people.models import Session
from people.second_factor.requirement import KINDS

A_PAGE = 50


@dataclass(frozen=True)
class Listed:
    """A user of the list. `role`: the role for all accounts, a value of Role, or "". `user.for_some`: the number of
    accounts with a role of their own."""

    user: Any  # User, with the annotations of `people()`
    role: str

    @property
    def is_invited(self) -> bool:
        """Whether this person was invited and has never signed in."""
        user = self.user
        return not (user.has_usable_password() or user.last_login or user.has_sign_on)

    @property
    def role_label(self) -> str:
        """The role for all accounts in the reader's language; "" for none."""
        return str(Role(self.role).label) if self.role else ""


def people() -> QuerySet[Any]:
    """All users with the annotations that the list needs, in one query (and one for the groups)."""
    factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=KINDS)
    grants = AccountGrant.objects.filter(user=OuterRef("pk")).values("user").annotate(n=Count("pk")).values("n")
    live = Session.objects.filter(user=OuterRef("pk"), expire_date__gt=timezone.now())
    counted = live.values("user").annotate(n=Count("pk")).values("n")
    return User.objects.annotate(
        has_factor=Exists(factors),
        has_sign_on=Exists(SocialAccount.objects.filter(user=OuterRef("pk"))),
        for_some=Coalesce(Subquery(grants), 0),
        open_sessions=Coalesce(Subquery(counted), 0),
    ).prefetch_related("groups")


def matching(asked: str) -> QuerySet[Any]:
    """The list's users by user name; `asked`: a part of the user name, the address or the last name, "" for all."""
    rows = people().order_by("username")
    if asked:
        rows = rows.filter(contains("username", asked) | contains("email", asked) | contains("last_name", asked))
    return rows


def page_of(number: str, asked: str) -> tuple[Page[Any], list[Listed]]:
    """(the page of matching() with this number, its rows)."""
    page = Paginator(matching(asked), A_PAGE).get_page(number)
    return page, [Listed(user, role_of(user)) for user in page]


def role_of(user: User) -> str:
    """The user's highest role for all accounts, by groups; "" for none."""
    names = {group.name for group in user.groups.all()}
    return next((role.value for role in reversed(ROLES) if role.value in names), "")
