"""The last administrator who can sign in stays one, whichever page would take that away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from mailbox.models import AuditEntry
from tests.people.test_people import administrator, boss, do, is_administrator

__all__ = ["administrator", "boss"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
NOTHING = "Nothing was changed: without this person nobody could administer the site."


def test_the_last_administrator_who_can_sign_in_stays(
    administrator: Client, boss: User, make_user: Callable[..., User]
) -> None:
    """One who is switched off, or was never given a password, is nobody to fall back on."""
    off, invited = make_user("administrator", "off"), make_user("administrator", "invited")
    User.objects.filter(pk=off.pk).update(is_active=False)
    invited.set_unusable_password()
    invited.save()
    assert "Nothing was changed" in do(administrator, "role", boss, role="operator")
    assert "Nothing was changed" in do(administrator, "switch", boss, is_active="0")
    assert is_administrator(boss)
    make_user("administrator", "second")
    do(administrator, "role", boss, role="operator")
    assert not is_administrator(boss)


def test_a_password_that_opens_nothing_is_nothing_to_fall_back_on(
    administrator: Client, boss: User, make_user: Callable[..., User], settings: Any
) -> None:
    make_user("administrator", "second")
    settings.LOCAL_PASSWORDS, settings.BREAK_GLASS_USER, settings.SSO_ISSUER = False, boss.username, ""
    SocialAccount.objects.create(user=make_user("administrator", "third"), provider="company", uid="3")
    assert "Nothing was changed" in do(administrator, "switch", boss, is_active="0")
    settings.SSO_ISSUER = "https://login.example.org"
    do(administrator, "switch", boss, is_active="0")
    assert not User.objects.get(pk=boss.pk).is_active  # the third signs in at the company


@pytest.fixture
def admin_page(administrator: Client, boss: User) -> Callable[..., str]:
    """Posts to a page of Django's admin as the only administrator; what the page then says."""
    User.objects.filter(pk=boss.pk).update(is_staff=True, is_superuser=True)

    def post(page: str, *args: object, **fields: Any) -> str:
        answer = administrator.post(reverse(f"admin:auth_{page}", args=args), fields, follow=True)
        return str(answer.content.decode())

    return post


FORM = {"username": "boss", "is_staff": "on", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
INLINE = {"account_grants-TOTAL_FORMS": "0", "account_grants-INITIAL_FORMS": "0"}


def test_djangos_admin_takes_the_last_one_no_more_away_than_the_page_does(
    admin_page: Callable[..., str], boss: User
) -> None:
    tried = {
        "switched off, all rights taken": ("user_change", boss.pk, FORM | INLINE),
        "deleted": ("user_delete", boss.pk, {"post": "yes"}),
        "deleted from the list": (
            "user_changelist",
            None,
            {"action": "delete_selected", "_selected_action": boss.pk, "post": "yes"},
        ),
        "left without a password": (
            "user_password_change",
            boss.pk,
            {"usable_password": "false", "unset-password": ""},
        ),
    }
    for what, (page, pk, fields) in tried.items():
        said = admin_page(page, *([pk] if pk else []), **fields)
        assert NOTHING in said, what
        now = User.objects.get(pk=boss.pk)
        assert now.is_active and now.is_superuser and now.has_usable_password(), what
    assert not AuditEntry.objects.filter(verb__in=["grant_rights", "withdraw_rights"]).exists()


def test_the_group_of_administrators_stays_while_it_alone_makes_one(
    admin_page: Callable[..., str], administrator: Client, boss: User, make_user: Callable[..., User]
) -> None:
    root = User.objects.create_superuser("root")  # whose password is unusable: nobody to fall back on
    User.objects.filter(pk=boss.pk).update(is_superuser=False)
    root.set_unusable_password()
    root.save()
    administrator.force_login(root)
    group = Group.objects.get(name="administrator")
    assert NOTHING in admin_page("group_delete", group.pk, post="yes")
    assert NOTHING in admin_page("group_change", group.pk, name="administrator")
    assert is_administrator(boss)


def test_with_another_one_djangos_admin_does_as_it_is_told(
    admin_page: Callable[..., str], boss: User, make_user: Callable[..., User]
) -> None:
    make_user("administrator", "second")
    assert NOTHING not in admin_page("user_change", boss.pk, **FORM, **INLINE)
    assert not User.objects.get(pk=boss.pk).is_active
