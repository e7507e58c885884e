"""Every secret that a test has encrypted is looked for in what is logged, queued, written to the database and shown.

Used by the tests in GUARDED, which are those where secrets are given, used or could be shown. A secret is what
mailbox.credentials.encrypt is given (passwords, access and refresh tokens, client secrets, codes, verifiers, keys of
webhooks and authenticator apps), if it is long enough to be no word; and what is handed out instead of being stored:
programs' tokens and links that set a password, each shown once at most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from api import tokens as program_tokens
from mailbox import credentials, queueing
from people.links import tokens as link_tokens

GUARDED = (
    *("tests/people/", "tests/alerts/", "tests/api/", "tests/test_secrets.py"),
    *(f"tests/mailbox/{name}/" for name in ("accounts", "autoconfig", "imap", "oauth")),
    *(f"tests/outbox/{name}.py" for name in ("smtp/test_tokens", "smtp/test_sign_in", "delivery/test_refusals")),
)
SHORTEST = 12  # characters; "secret" is the password of every mailbox here, and a word of many sentences


class Guard(logging.Handler):
    """What was encrypted in this test, and where it was found."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.secrets: set[str] = set()
        self.unshown: set[str] = set()  # the page that makes one may show it
        self.found: list[str] = []

    def look(self, where: str, text: str) -> None:
        if any(secret in text for secret in self.secrets):
            self.found.append(where)

    def hand_out(self, secret: str) -> None:
        self.secrets.add(secret)
        self.unshown.add(secret)

    def page(self, path: object, shown: str) -> None:
        for secret in [each for each in self.unshown if each in shown]:
            self.unshown.remove(secret)
            shown = shown.replace(secret, "")
        self.look(f"page: {path}", shown)

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("django.db"):  # statements are looked at below
            self.look(f"log: {record.name}", f"{record.getMessage()} {getattr(record, 'fields', '')}")

    def statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        rows = params if many else [params or ()]
        for row in rows if self.secrets else ():
            values = row.values() if isinstance(row, dict) else row
            for value in values:
                if isinstance(value, str):
                    self.look(f"database: {sql[:120]}", value)
        return execute(sql, params, many, context)


@contextmanager
def guarding(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    guard, real = Guard(), credentials.encrypt
    ring, request = queueing._send_to_broker, Client.request
    make, link_for = program_tokens.make, link_tokens.link_for

    def encrypt(secret: str | None) -> str | None:
        if secret and len(secret) >= SHORTEST:
            guard.secrets.add(secret)
        return real(secret)

    def made(*given: Any, **more: Any) -> Any:
        token, secret = make(*given, **more)
        guard.hand_out(secret)
        return token, secret

    def linked(*given: Any) -> str:
        link = link_for(*given)
        guard.hand_out(link.rstrip("/").rpartition("/")[2])
        return link

    def rung(function: str, arguments: tuple[object, ...], options: dict[str, Any]) -> None:
        guard.look(f"task: {function}", f"{arguments} {options}")
        ring(function, arguments, options)

    def requested(self: Client, **given: Any) -> Any:
        response = request(self, **given)
        shown = "" if response.streaming else response.content.decode("utf-8", "replace")
        guard.page(given.get("PATH_INFO"), f"{shown} {response.headers}")
        return response

    monkeypatch.setattr(credentials, "encrypt", encrypt)
    for module in ("mailbox.oauth.refresh", "mailbox.oauth.sign_in"):  # who took the name over
        monkeypatch.setattr(f"{module}.encrypt", encrypt)
    monkeypatch.setattr(program_tokens, "make", made)
    monkeypatch.setattr(link_tokens, "link_for", linked)
    monkeypatch.setattr(queueing, "_send_to_broker", rung)
    monkeypatch.setattr(Client, "request", requested)
    logging.getLogger().addHandler(guard)
    try:
        with connection.execute_wrapper(guard.statement):
            yield guard
    finally:
        logging.getLogger().removeHandler(guard)
