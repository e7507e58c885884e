"""A password is hashed before the transaction that saves it, which would keep SQLite's only writer from all others."""

from __future__ import annotations

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from people.links import tokens
from people.links.tokens import LinkPurpose
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
