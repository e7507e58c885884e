"""Doors that no failures close: their secrets are too long to be guessed, a guess is cheap and leaves nothing behind.

A lock there would let a stranger shut out the programs and people behind the same address.
"""

from __future__ import annotations

import base64
import re
import smtplib
import string
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailbox.models import Account, AuditEntry
from people.links import tokens
from people.links.tokens import LinkPurpose
from people.models import Session
from tests.api.submitting import Submission, ops, secret, send, submission
from tests.people.site_mails import boss, vera
from tests.people.test_guessing import guess

__all__ = ["boss", "ops", "secret", "submission", "vera"]
BITS = 128
GUESSES = 30


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each password whose hash was computed."""
    computed: list[str] = []
    encode = hashers.MD5PasswordHasher.encode

    def counting(self: Any, password: str, salt: str) -> str:
        computed.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", counting)
    return computed


@pytest.mark.django_db
@pytest.mark.pages
def test_a_link_is_not_guessed_and_guessing_costs_no_hash_and_no_row(vera: User, hashes: list[str]) -> None:
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).rstrip("/").rpartition("/")[2]
    made, _, signature = link.partition("-")
    assert len(signature) * 4 >= BITS and set(signature) <= set(string.hexdigits)
    hashes.clear()
    stranger = Client()
    with CaptureQueriesContext(connection) as asked:
        for number in range(GUESSES):
            guessed = f"{made}-{number:0{len(signature)}x}"
            assert stranger.get(reverse("password_link", args=["password", vera.pk, guessed])).status_code == 410
    assert not [each["sql"] for each in asked if not each["sql"].startswith("SELECT")] and not hashes
    assert not Session.objects.exists() and not AuditEntry.objects.exists()
    good = stranger.get(reverse("password_link", args=["password", vera.pk, link]))
    assert good.headers["Location"] == reverse("password_new"), "guesses of a stranger shut nobody out"


@pytest.mark.django_db
@pytest.mark.pages
def test_a_programs_token_is_not_guessed_by_http_and_guessing_costs_no_hash_and_no_row(
    ops: Account, secret: str, hashes: list[str]
) -> None:
    assert len(secret.removeprefix("prx_")) * 6 >= 2 * BITS
    stranger, hashes[:] = Client(), []
    with CaptureQueriesContext(connection) as asked:
        for number in range(GUESSES):
            wrong = {"Authorization": f"Bearer prx_{number:043d}"}
            assert stranger.get("/api/v1/accounts", headers=wrong).status_code == 401
    assert not [each["sql"] for each in asked if re.match("INSERT|UPDATE|DELETE", each["sql"])] and not hashes
    right = {"Authorization": f"Bearer {secret}"}
    assert stranger.get("/api/v1/accounts", headers=right).status_code in (200, 403)


@pytest.mark.django_db
@pytest.mark.pages
def test_neither_the_callback_of_a_sign_on_nor_metrics_is_guessed_and_guessing_asks_and_writes_nothing(
    settings: Any, hashes: list[str], make_user: Callable[..., User]
) -> None:
    settings.SSO_ISSUER, settings.METRICS_TOKEN = "https://sign-on.example.test", "the-token-of-prometheus"
    settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = "id", "secret"
    stranger, hashes[:] = Client(), []
    with CaptureQueriesContext(connection) as asked:
        for number in range(GUESSES):
            guessed = {"state": f"{number:016}", "code": "c"}
            assert stranger.get(reverse("sso_callback"), guessed).status_code == 403
            assert stranger.get("/metrics", headers={"Authorization": f"Bearer {number}"}).status_code == 403
    assert not [each["sql"] for each in asked if not each["sql"].startswith("SELECT")] and not hashes
    assert not Session.objects.exists() and not AuditEntry.objects.exists()
    operator = Client()
    operator.force_login(make_user("administrator"))
    for number in range(GUESSES):
        guessed = {"state": f"{number:064x}", "code": "c"}
        answer = operator.get(reverse("mailbox:oauth_callback"), guessed, follow=True)
        assert b"belongs to no sign-in of yours" in answer.content


def sign_in(client: smtplib.SMTP, login: str, secret: str) -> int:
    """The reply's code, of one AUTH."""
    return client.docmd("AUTH PLAIN", base64.b64encode(f"\0{login}\0{secret}".encode()).decode())[0]


@pytest.mark.processes
def test_three_wrong_tokens_end_a_connection_of_submission_and_the_right_one_opens_the_next(
    submission: Submission, ops: Account, secret: str
) -> None:
    client = submission.connect()
    for number in range(3):
        assert sign_in(client, ops.email, f"prx_{number:043d}") == 535
    assert sign_in(client, ops.email, secret) == 421
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.noop()
    with submission.connect(secret) as another:
        assert send(another).startswith("250")


@pytest.mark.django_db
@pytest.mark.pages
def test_a_wrong_password_costs_one_hash_whoever_it_is_for(
    make_user: Callable[..., User], hashes: list[str], settings: Any
) -> None:
    """Else the time of the answer would tell which names there are, and who was invited or switched off."""
    make_user("viewer", "vera", "the-old-password")
    make_user("viewer", "gone", "the-old-password")
    make_user("viewer", "invited", "the-old-password")
    User.objects.filter(username="gone").update(is_active=False)
    User.objects.filter(username="invited").update(password=hashers.make_password(None))
    for local in (True, False):
        settings.LOCAL_PASSWORDS = local
        costs = {}
        for number, name in enumerate(("vera", "gone", "invited", "nobody")):
            hashes.clear()
            guess(Client(), name, address=f"203.0.113.{number}")
            costs[name] = len(hashes)
        assert set(costs.values()) == {1}, costs
