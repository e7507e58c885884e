"""Every address, tried by whoever is not, or no longer, or not yet wholly signed in.

Nobody signed in, and each role, everywhere and for one account: tests/test_every_address.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from people.models import SignInRules
from people.second_factor.middleware import OPEN_TO_HALF
from tests.addresses import EXPECTED, OPEN, probes_ask_in_this_thread, rows

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
__all__ = ["probes_ask_in_this_thread", "rows"]
# What each of them needs to become signed in, and what tells nothing: these are tried elsewhere.
PASSWORD = "the-right-password"


def tries(rows: dict[str, int]) -> list[tuple[str, str, str]]:
    return [
        (name, method, reverse(name, args=[*(rows[each] for each in expected.names), *expected.args]))
        for name, expected in EXPECTED.items()
        for method, needed in (("get", expected.to_read), ("post", expected.to_post))
        if needed and needed != OPEN
    ]


def is_sent_to_sign_in(answer: HttpResponse, name: str, method: str) -> None:
    if (name, method) == ("outbox:compose", "post"):  # a page that keeps what was typed, and nothing else
        assert answer.status_code == 401
    else:
        assert answer.status_code == 302 and answer.headers["Location"].startswith(reverse("login")), f"{name} {method}"


def test_whoever_lacks_a_demanded_factor_reaches_nothing_but_its_pages(
    client: Client, rows: dict[str, int], make_user: Callable[..., User]
) -> None:
    SignInRules.objects.create(pk=1, second_factor_role="viewer")
    client.force_login(make_user("administrator"))
    for name, method, url in tries(rows):
        if name not in OPEN_TO_HALF:
            answer = getattr(client, method)(url)
            assert (answer.status_code, answer.headers.get("Location")) == (302, reverse("mfa_index")), (
                f"{method} {url}"
            )


def test_whoever_gave_the_password_and_no_code_reaches_nothing(
    client: Client, rows: dict[str, int], make_user: Callable[..., User]
) -> None:
    TOTP.activate(make_user("administrator", "vera", PASSWORD), "JBSWY3DPEHPK3PXP")
    for name, method, url in tries(rows):
        if name == "mfa_authenticate":
            continue
        client.post(reverse("login"), {"username": "vera", "password": PASSWORD})
        is_sent_to_sign_in(getattr(client, method)(url), name, method)


def test_whoever_is_switched_off_reaches_nothing_from_that_moment(
    client: Client, rows: dict[str, int], make_user: Callable[..., User]
) -> None:
    user = make_user("administrator")
    client.force_login(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    for name, method, url in tries(rows):
        is_sent_to_sign_in(getattr(client, method)(url), name, method)
