"""Pages of messages for tests: whose mail there is, who looks at it, and what is shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from tests.rows import NOWHERE


@pytest.fixture
def other_account(make_account: Callable[..., Account]) -> Account:
    return make_account("other@example.com", **NOWHERE)


def page(client: Client, name: str, *args: object, query: str = "") -> str:
    response = client.get(reverse(name, args=args) + query)
    assert response.status_code == 200
    return response.content.decode()
