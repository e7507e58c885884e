"""A password is hashed before the transaction that saves it, which would keep SQLite's only writer from all others."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher, make_password
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from mailbox.models import AuditEntry
from people.links import tokens
from people.links.tokens import LinkPurpose
from people.sign_in.pages import GuardedPasswordForm
from tests.people.site_mails import GOOD, choose

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.pages]


@pytest.fixture
def within(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each password hashed: whether a transaction was open."""
    found: list[bool] = []
    real = MD5PasswordHasher.encode

    def encode(self: MD5PasswordHasher, password: str, salt: str) -> str:
        found.append(connection.in_atomic_block)
        return real(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    return found


def test_a_password_chosen_by_a_link_is_hashed_outside_of_a_transaction(within: list[bool]) -> None:
    vera = User.objects.create_user("vera", "vera@example.test", "before")
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    within.clear()
    assert "Your password is set" in choose(Client(), link).content.decode()
    assert User.objects.get(pk=vera.pk).check_password(GOOD)
    assert within and not any(within)


def test_a_changed_password_is_hashed_outside_of_a_transaction(within: list[bool]) -> None:
    vera = User.objects.create_user("vera", "vera@example.test", "before-and-long-1")
    browser = Client()
    browser.force_login(vera)
    within.clear()
    form = {"old_password": "before-and-long-1", "new_password1": GOOD, "new_password2": GOOD}
    assert browser.post(reverse("password_change"), form).status_code == 302
    assert User.objects.get(pk=vera.pk).check_password(GOOD)
    assert within and not any(within)


@pytest.mark.parametrize("meanwhile", ["reset", "deleted"])
def test_a_password_set_while_another_is_hashed_is_not_overwritten_by_who_knew_the_old_one(
    meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link sets another password, or the user is deleted, within the half second that the hash takes."""
    vera = User.objects.create_user("vera", "vera@example.test", "before-and-long-1")
    browser, rows, real = Client(), User.objects.filter(pk=vera.pk), GuardedPasswordForm.hash_new_password
    browser.force_login(vera)

    def hash_slowly(form: GuardedPasswordForm) -> None:
        real(form)
        if meanwhile == "reset":
            rows.update(password=make_password("by-a-link-and-long-1"))
        else:
            rows.delete()

    monkeypatch.setattr(GuardedPasswordForm, "hash_new_password", hash_slowly)
    form = {"old_password": "before-and-long-1", "new_password1": GOOD, "new_password2": GOOD}
    answer = browser.post(reverse("password_change"), form)
    assert answer.status_code == 200 and "Your old password was entered incorrectly" in answer.content.decode()
    assert [each.check_password("by-a-link-and-long-1") for each in rows] == [True] * rows.count()
    assert not AuditEntry.objects.filter(verb="change_password").exists()
    assert browser.get(reverse("dashboard")).status_code == 302  # the session ended with the old password


def test_a_password_that_the_check_hashes_anew_can_be_changed(settings: Any) -> None:
    """As after a release of Django with more iterations: the check of the old one saves another hash of it."""
    vera = User.objects.create_user("vera", "vera@example.test", "before-and-long-1")
    browser = Client()
    browser.force_login(vera)
    hasher = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    settings.PASSWORD_HASHERS = [hasher, *settings.PASSWORD_HASHERS]
    form = {"old_password": "before-and-long-1", "new_password1": GOOD, "new_password2": GOOD}
    assert browser.post(reverse("password_change"), form).status_code == 302
    assert User.objects.get(pk=vera.pk).check_password(GOOD)
    assert browser.get(reverse("dashboard")).status_code == 200
