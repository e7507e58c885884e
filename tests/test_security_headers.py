"""What every answer carries, and the pages shown instead of a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import translation
from django.views.defaults import server_error

from mailbox.models import Account
from prx_email_site import error_pages
from tests.rows import NOWHERE

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


@pytest.fixture
def administrator(client: Client, make_user: Callable[..., User]) -> Client:
    user = make_user("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client.force_login(User.objects.get(pk=user.pk))
    return client


PAGES = [
    "/",
    "/accounts/",
    "/accounts/add/?preset=gmail",
    "/accounts/{pk}/",
    "/accounts/{pk}/edit/",
    "/accounts/{pk}/folders/",
    "/accounts/{pk}/runs/",
    "/accounts/{pk}/sign-in/imap/",
    "/accounts/{pk}/delete/",
    "/activity/",
    "/password/",
    "/messages/",
    "/outbox/",
    "/admin/",
    "/admin/mailbox/account/",
    "/admin/auth/user/{user}/change/",
]


@pytest.mark.parametrize("path", PAGES)
def test_each_page_allows_only_its_own_files_and_has_nothing_inline(
    administrator: Client, make_account: Callable[..., Account], path: str
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    response = administrator.get(path.format(pk=account.pk, user=User.objects.get().pk))
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    for rule in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert "private" in response.headers["Cache-Control"], "no proxy keeps a person's mail"
    assert INLINE.findall(response.content.decode()) == []


def test_the_sign_in_page_is_as_strict(client: Client) -> None:
    response = client.get(reverse("login"))
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert INLINE.findall(response.content.decode()) == []


def test_a_page_that_is_not_there_says_what_to_do(client: Client, administrator: Client) -> None:
    page = administrator.get("/nothing/here/")
    assert page.status_code == 404
    assert "Start again from the dashboard" in page.content.decode()
    client.logout()
    assert client.get("/nothing/here/").status_code == 404


def test_a_role_that_is_too_low_is_named(
    client: Client, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    client.force_login(make_user("viewer"))
    response = client.get(reverse("mailbox:account_edit", args=[account.pk]))
    assert response.status_code == 403
    assert "This needs the role administrator for ops@example.com." in response.content.decode()


def test_a_form_without_its_token_is_refused_in_our_words(make_user: Callable[..., User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("administrator"))
    response = client.post(reverse("logout"))
    assert response.status_code == 403
    assert "The form was too old" in response.content.decode()


@pytest.mark.parametrize(
    ("error", "shown"),
    [(BadRequest("Give a number."), True), (SuspiciousOperation("internals"), False)],
)
def test_a_bad_request_shows_only_words_meant_for_a_person(rf: RequestFactory, error: Exception, shown: bool) -> None:
    response = error_pages.bad_request(rf.get("/"), error)
    assert response.status_code == 400
    assert (str(error) in response.content.decode()) is shown


def test_a_wrong_host_header_gets_an_answer_and_no_page(client: Client) -> None:
    response = client.get("/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "cannot be answered" in response.content.decode()


def test_the_page_of_our_own_mistakes_asks_nothing_of_the_database(
    rf: RequestFactory, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        response = server_error(rf.get("/"))
    assert response.status_code == 500
    assert "Something broke on our side" in response.content.decode()
    with translation.override("ar"):
        said = server_error(rf.get("/")).content.decode()
    assert '<html lang="ar" dir="rtl">' in said and "Something broke" not in said


# --- sign-in --------------------------------------------------------------------------------------------------


def test_signing_in_leads_back_to_where_one_wanted_to_go(client: Client, make_user: Callable[..., User]) -> None:
    make_user("viewer", "vera", "sesame-sesame")
    wanted = client.get("/accounts/")
    response = client.post(wanted.url, {"username": "vera", "password": "sesame-sesame", "next": "/accounts/"})
    assert response.url == "/accounts/"


def test_a_wrong_password_is_refused_in_words(client: Client, make_user: Callable[..., User]) -> None:
    make_user("viewer", "vera", "sesame-sesame")
    page = client.post(reverse("login"), {"username": "vera", "password": "wrong"}).content.decode()
    assert "do not match an active user" in page


def test_signing_out_takes_a_form(administrator: Client) -> None:
    assert administrator.get(reverse("logout")).status_code == 405
    assert administrator.post(reverse("logout")).url == reverse("login")
    assert administrator.get("/").status_code == 302


def test_the_password_is_changed_and_kept_in_the_activity(client: Client, make_user: Callable[..., User]) -> None:
    user = make_user("viewer", "vera", "sesame-sesame")
    client.force_login(user)
    url = reverse("password_change")
    wrong = {"old_password": "x", "new_password1": "a-much-better-one", "new_password2": "a-much-better-one"}
    assert client.post(url, wrong).status_code == 200
    response = client.post(url, wrong | {"old_password": "sesame-sesame"}, follow=True)
    assert "Your password was changed" in response.content.decode()
    user.refresh_from_db()
    assert user.check_password("a-much-better-one")
    assert "changed the own password" in client.get(reverse("mailbox:activity")).content.decode()
