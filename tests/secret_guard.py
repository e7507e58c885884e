"""Every secret that a test has encrypted is looked for in what is logged, queued, written to the database and shown.

Around every test. A secret is what mailbox.credentials.encrypt is given in the test's own process (passwords, access
and refresh tokens, client secrets, codes, verifiers, keys of webhooks and authenticator apps), if it is long enough to
be no word; and what is handed out instead of being stored: programs' tokens and links that set a password. These, and
the secrets that are made here for webhooks, are shown once at most. Of processes that a test starts, the logs below its
tmp_path are read at its end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.base import BaseHandler
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponseBase

from alerts import forms as alert_forms
from alerts.events import webhook_delivery
from api import tokens as program_tokens
from mailbox import credentials, queueing
from people.links import tokens as link_tokens

SHORTEST = 12  # characters; what is shorter may be a word of many sentences


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

    def connected(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        """Each thread has a connection of its own; a thread's goes with it."""
        if self.statement not in connection.execute_wrappers:  # this thread's, connected anew
            connection.execute_wrappers.append(self.statement)

    def logs_in(self, folder: Path) -> None:
        """Of processes, once they have ended."""
        for path in folder.rglob("*.log") if self.secrets else ():
            self.look(f"log: {path.name}", path.read_text("utf-8", "replace"))

    def answer(self, path: str, response: HttpResponseBase) -> None:
        headers = str(response.headers)
        if response.streaming:
            self.page(path, headers)
            return
        self.page(path, response.content.decode("utf-8", "replace") + headers)


@contextmanager
def guarding(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    guard, real = Guard(), credentials.encrypt
    ring, respond = queueing._send_to_broker, BaseHandler.get_response
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

    def shown_once(new_secret: Callable[[], str]) -> Callable[[], str]:
        def made_here() -> str:
            secret = new_secret()
            guard.unshown.add(secret)  # a secret of this site only once it is stored
            return secret

        return made_here

    def rung(function: str, arguments: tuple[object, ...], options: dict[str, Any]) -> None:
        guard.look(f"task: {function}", f"{arguments} {options}")
        ring(function, arguments, options)

    def responded(self: BaseHandler, request: HttpRequest) -> HttpResponseBase:
        response = respond(self, request)
        guard.answer(request.path, response)
        return response

    monkeypatch.setattr(credentials, "encrypt", encrypt)
    for module in ("mailbox.oauth.lifetimes", "mailbox.oauth.sign_in"):  # who took the name over
        monkeypatch.setattr(f"{module}.encrypt", encrypt)
    monkeypatch.setattr(program_tokens, "make", made)
    monkeypatch.setattr(link_tokens, "link_for", linked)
    for where in (webhook_delivery, alert_forms):
        monkeypatch.setattr(where, "new_secret", shown_once(where.new_secret))
    monkeypatch.setattr(queueing, "_send_to_broker", rung)
    monkeypatch.setattr(BaseHandler, "get_response", responded)
    logging.getLogger().addHandler(guard)
    connection_created.connect(guard.connected)
    try:
        with connection.execute_wrapper(guard.statement):
            yield guard
    finally:
        connection_created.disconnect(guard.connected)
        logging.getLogger().removeHandler(guard)
