"""Settings of single sign-on that let nobody in, or somebody unmeant, are errors or warnings of `manage.py check`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import checks
from django.urls import NoReverseMatch, reverse

from people import checks as checks_of_people

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
PASSWORD = "the-right-password"


def test_passwords_off_without_a_break_glass_administrator_is_an_error(
    make_user: Callable[..., User], settings: Any
) -> None:
    def found() -> list[str | None]:
        return [each.id for each in checks_of_people.somebody_can_sign_in()]

    settings.LOCAL_PASSWORDS = False
    assert found() == ["people.E001"]
    settings.BREAK_GLASS_USER = "boss"
    make_user("viewer", "boss", PASSWORD)
    assert found() == ["people.E001"]
    User.objects.all().delete()
    make_user("administrator", "boss", PASSWORD)
    assert found() == []
    User.objects.update(is_active=False)
    assert found() == ["people.E001"]


def test_groups_that_may_leave_nobody_are_a_warning_while_no_break_glass_administrator_is_named(
    make_user: Callable[..., User], settings: Any
) -> None:
    def found() -> list[str | None]:
        return [each.id for each in checks_of_people.groups_leave_somebody()]

    boss = make_user("administrator", "boss", PASSWORD)
    assert found() == []  # nobody's groups are asked
    settings.SSO_ISSUER = "https://sign-on.example.test"
    assert found() == ["people.W002"]
    settings.BREAK_GLASS_USER = "boss"
    assert found() == []
    boss.set_unusable_password()
    boss.save()
    assert found() == ["people.W002"]


def test_half_a_configuration_is_an_error(settings: Any) -> None:
    def found() -> int:
        errors: list[checks.CheckMessage] = checks_of_people.sign_on_is_whole()
        return len(errors)

    settings.SSO_ISSUER = "https://sign-on.example.test"
    assert found() == 2
    settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET, settings.SSO_ROLES = "id", "secret", {"g": "king"}
    assert found() == 1
    settings.SSO_ROLES = {"g": "viewer"}
    assert found() == 0
    settings.SSO_ISSUER, settings.OAUTH_ALLOW_HTTP = "http://sign-on.example.test", False
    assert found() == 1


@pytest.mark.parametrize("name", ["account_signup", "socialaccount_signup", "socialaccount_connections"])
@pytest.mark.in_part(3)
def test_allauths_own_pages_are_no_addresses_of_this_site(name: str) -> None:
    with pytest.raises(NoReverseMatch):
        reverse(name)
