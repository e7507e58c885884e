"""Pages of messages for tests: whose mail there is, who looks at it, and what is shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from tests.rows import NOWHERE


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def other_account(make_account: Callable[..., Account]) -> Account:
    return make_account("other@example.com", **NOWHERE)


@pytest.fixture
def operator(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("operator"))
    return client


@pytest.fixture
def viewer(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("viewer"))
    return client


def page(client: Client, name: str, *args: object, query: str = "") -> str:
    response = client.get(reverse(name, args=args) + query)
    assert response.status_code == 200
    return response.content.decode()
