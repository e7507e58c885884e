"""Where a sign-in leads afterwards, and whose session it is: no open redirect, no session that somebody else chose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from people.models import Session
from tests.people.test_second_factor import KEY, PASSWORD, code_now

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "http:evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    " https://evil.example",
    "\thttps://evil.example",
    "https://testserver@evil.example/",
    "https://testserver.evil.example/",
]


@pytest.fixture
def vera(make_user: Callable[..., User]) -> User:
    cache.clear()  # codes that another test used
    return make_user("administrator", "vera", PASSWORD)


def leads(answer: Any) -> str:
    assert answer.status_code == 302
    return str(answer.headers["Location"])


@pytest.mark.parametrize("where", ELSEWHERE)
def test_no_door_leads_to_another_site(vera: User, where: str) -> None:
    home, given = reverse("dashboard"), {"username": "vera", "password": PASSWORD}
    assert leads(Client().post(reverse("login"), given | {"next": where})) == home
    browser = Client()
    browser.force_login(vera)
    assert leads(browser.get(reverse("login"), {"next": where})) == home
    again = {"password": PASSWORD, "next": where}
    assert leads(browser.post(reverse("account_reauthenticate"), again)) == home
    assert "evil.example" not in leads(browser.post(reverse("logout"), {"next": where}))
    TOTP.activate(vera, KEY)
    browser.force_login(vera)
    assert leads(browser.post(reverse("mfa_reauthenticate"), {"code": code_now(), "next": where})) == home
    other = Client()
    assert leads(other.post(reverse("login"), given | {"next": where})) == reverse("mfa_authenticate")


def test_a_sign_in_has_a_session_that_nobody_knew_before(vera: User) -> None:
    browser = Client()
    browser.get(reverse("password_link", args=["password", vera.pk, "x-y"]))
    session = browser.session
    session["planted"] = 1
    session.save()
    known = session.session_key
    browser.cookies["sessionid"] = known
    browser.post(reverse("login"), {"username": "vera", "password": PASSWORD})
    assert browser.session.session_key != known
    assert not Session.objects.filter(session_key=known, user__isnull=False).exists()
    stranger = Client()
    stranger.cookies[next(iter(browser.cookies))] = known
    assert stranger.get(reverse("dashboard")).status_code == 302


def test_the_session_of_the_password_alone_is_another_than_that_of_the_code(vera: User) -> None:
    TOTP.activate(vera, KEY)
    browser = Client()
    browser.post(reverse("login"), {"username": "vera", "password": PASSWORD})
    half = browser.session.session_key
    browser.post(reverse("mfa_authenticate"), {"code": code_now()})
    assert browser.session.session_key != half
    assert Session.objects.filter(user=vera).count() == 1
