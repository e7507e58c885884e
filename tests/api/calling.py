"""Programs that call the API with a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from api import tokens
from api.models import Scope
from api.tokens import Terms
from mailbox.models import Account
from tests.rows import NOWHERE

V1 = "/api/v1"


PROBLEM = "application/problem+json"


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def sales(make_account: Callable[..., Account]) -> Account:
    return make_account("sales@example.com", **NOWHERE)


class Program:
    """A client with a token."""

    def __init__(self, user: User, **terms: Any) -> None:
        given = {"name": "p", "scopes": list(Scope), "expires_at": timezone.now() + timedelta(days=1)} | terms
        self.user, self.secret = user, tokens.make(user, Terms(**given), by=user)[1]
        self.client = Client(enforce_csrf_checks=True)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        headers = {"authorization": f"Bearer {self.secret}", **headers}
        return getattr(self.client, method)(f"{V1}{path}", **data, headers=headers)

    def get(self, path: str, **headers: str) -> Any:
        return self.ask("get", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.ask("post", path, body, **headers)


@pytest.fixture
def program(make_user: Callable[..., User]) -> Program:
    return Program(make_user("administrator"))


def is_problem(response: Any, status: int, code: str) -> bool:
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code), response.content
    assert (body["ok"], body["status"], body["detail"]) == (False, status, body["error"]["message"])
    return bool(response.headers["Content-Type"] == PROBLEM and body["title"] and body["detail"])


def mail(account: Account, **changes: Any) -> dict[str, Any]:
    return {"account_id": account.pk, "to": ["ann@example.com"], "subject": "Hi", "body_text": "Dear Ann"} | changes
