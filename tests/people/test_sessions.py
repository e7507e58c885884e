"""When a session ends, who ends it, and what the browser keeps of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account
from mailbox.tasks.sync import prune
from people.models import Session
from people.sessions import expiry
from tests.rows import NOWHERE, letter_with, outbox_row, store

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def vera(client: Client, make_user: Callable[..., User]) -> User:
    user = make_user("viewer", "vera", "the-right-password")
    client.post(reverse("login"), {"username": "vera", "password": "the-right-password"}, HTTP_USER_AGENT="Browser 1")
    return user


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set the clock of sessions forward."""
    return lambda by: monkeypatch.setattr(expiry, "now_seconds", lambda: time.time() + by.total_seconds())


def is_signed_in(client: Client) -> bool:
    return client.get(reverse("dashboard")).status_code == 200


def test_a_session_belongs_to_its_user_and_says_from_where_it_began(client: Client, vera: User) -> None:
    (row,) = Session.objects.filter(user=vera)
    assert (row.address, row.agent) == ("127.0.0.1", "Browser 1")
    page = client.get(reverse("profile")).content.decode()
    assert "Browser 1" in page
    assert "this one" in page
    assert row.session_key not in page, "the key is as good as a sign-in"


def test_it_ends_when_nobody_uses_it_and_a_persons_request_moves_the_end(
    client: Client, vera: User, later: Callable[[timedelta], None], settings: Any
) -> None:
    assert settings.SESSION_COOKIE_AGE == 12 * 3600
    Session.objects.update(expire_date=timezone.now() + timedelta(minutes=1))
    later(timedelta(minutes=2))
    assert is_signed_in(client)
    assert Session.objects.get().expire_date > timezone.now() + timedelta(hours=11)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert not is_signed_in(client)


def test_a_page_that_is_left_open_keeps_no_session_alive(
    client: Client, vera: User, later: Callable[[timedelta], None]
) -> None:
    ends = timezone.now() + timedelta(minutes=1)
    Session.objects.update(expire_date=ends)
    later(timedelta(minutes=2))
    assert client.get(reverse("mailbox:accounts"), HTTP_HX_REQUEST="true").status_code == 200
    assert Session.objects.get().expire_date == ends


def test_it_ends_after_a_week_however_much_it_is_used(
    client: Client, vera: User, later: Callable[[timedelta], None]
) -> None:
    later(timedelta(days=7, seconds=1))
    assert not is_signed_in(client)
    assert not Session.objects.filter(user=vera).exists()


def test_sessions_that_ended_are_removed_by_the_clock(client: Client, vera: User) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    prune()
    assert not Session.objects.exists()


def test_sign_out_everywhere_ends_every_browser_of_this_user_alone(
    client: Client, vera: User, make_user: Callable[..., User]
) -> None:
    other, somebody = Client(), Client()
    other.force_login(vera)
    somebody.force_login(make_user("operator"))
    response = client.post(reverse("people:sign_out_everywhere"), follow=True)
    assert "You are signed out in every browser" in response.content.decode()
    assert [is_signed_in(each) for each in (client, other, somebody)] == [False, False, True]


@pytest.mark.parametrize("door", ["logout", "people:sign_out_everywhere"])
def test_at_sign_out_the_browser_is_told_to_forget(client: Client, vera: User, door: str) -> None:
    assert client.post(reverse(door)).headers["Clear-Site-Data"] == '"cache", "cookies"'


def test_no_browser_keeps_a_page_with_mail_and_forms_may_be_gone_back_to(
    client: Client, vera: User, make_account: Callable[..., Account]
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    raw = letter_with(b"%PDF-1.4", "report.pdf")
    message, sent = store(account, raw), outbox_row(account, raw=raw, status="sent")
    shown = ("mailbox:message", "mailbox:message_html", "mailbox:message_print", "mailbox:message_eml")
    with_mail = [reverse(name, args=[message.pk]) for name in shown]
    with_mail += [reverse(name) for name in ("mailbox:messages", "mailbox:search", "mailbox:quarantine", "outbox:list")]
    with_mail += [reverse(name, args=[sent.pk]) for name in ("outbox:detail", "outbox:html", "outbox:eml")]
    kept = {url: client.get(url).headers["Cache-Control"] for url in with_mail}
    assert {url: said for url, said in kept.items() if "no-store" not in said} == {}
    for name in ("outbox:compose", "profile"):
        assert "no-store" not in client.get(reverse(name)).headers["Cache-Control"]


@pytest.mark.parametrize("password", ["short-1-two", "473829105648271", "password1234"])
def test_a_password_that_is_short_common_or_a_number_is_refused(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password)
