"""Every column that could hold a secret is known: encrypted, hashed, or said to be none. A new one fails here."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, models
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from api import tokens as program_tokens
from mailbox import credentials, queueing
from mailbox.models import AuditEntry
from people.links import tokens as link_tokens
from tests.secret_guard import Guard, guarding

SUSPECT = re.compile(
    r"pass|secret|token|credential|verifier|cookie|session|seed|salt|hash|digest|nonce|private|api_?key"
    r"|(^|_)(key|code|state|auth|pin|otp|link)s?(_|$)"
)
# Kept as a hash, or signed with a key that is in no table; whoever reads the column cannot use it.
HASHED = {
    "auth.User.password",
    "api.Token.digest",
    "mailbox.OAuthSignIn.state_digest",
    "mailbox.OAuthSignIn.session_digest",
}
# As good as a sign-in, in clear, as Django needs them: the table is shown by no page and no admin (see test_admin).
SIGNED_IN_BY = {"people.Session.session_key", "people.Session.session_data"}
# Encrypted within JSON, by `people.second_factor.adapter`.
ENCRYPTED_WITHIN = {"mfa.Authenticator.data"}
# Tables of libraries that are never written: accounts are in our own, tokens of the sign-on are not stored.
NEVER_WRITTEN = ("account.", "socialaccount.", "sessions.", "axes.", "admin.", "django_q.")
# Worth nothing outside: who holds a row at this moment, digests of content, keys that make a call the same call,
# outcomes, reply codes, and keys to what is signed elsewhere.
NO_SECRET = {
    *("outbox.KnownAddress.name_key", "alerts.AlertIncident.key"),
    *("mailbox.SavedFilters.key", "api.KeptAnswer.key"),
    *("mailbox.Lease.token", "mailbox.PushHeartbeat.token", "mailbox.OAuthGrant.lease_token"),
    *("outbox.OutboxMessage.claim_token", "outbox.DeliveryAttempt.claim_token", "outbox.SentCopy.claim_token"),
    *("outbox.SentLookup.claim_token", "outbox.OutboxMessage.private_part", "outbox.OutboxMessage.idempotency_key"),
    "mailbox.OAuthSignIn.nonce",  # the state is an HMAC of it, and the ID token shows it
    *("mailbox.OAuthApp.secret_ends_on", "alerts.AlertRule.secret_set_at", "alerts.Webhook.secret_set_at"),
}
NO_SECRET_NAMES = re.compile(
    r"^(lease|claim)_token$|_digest$|^digest$|_code$|^code$|^codename$|^state$|_state$|^states$"
)


@pytest.fixture(autouse=True)
def _no_secret_gets_out() -> None:
    """In place of the suite's: here secrets get out on purpose."""


def columns() -> list[tuple[str, models.Field]]:
    return [
        (f"{model._meta.label}.{field.name}", field)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField | models.JSONField | models.BinaryField)
    ]


def test_each_column_whose_name_could_be_a_secrets_is_known_for_what_it_is() -> None:
    unknown = []
    for label, field in columns():
        if not SUSPECT.search(field.name) or field.name.startswith("encrypted_") or label.startswith(NEVER_WRITTEN):
            continue
        if label in HASHED | SIGNED_IN_BY | ENCRYPTED_WITHIN | NO_SECRET:
            continue
        if not NO_SECRET_NAMES.search(field.name):
            unknown.append(label)
    assert unknown == [], "name it encrypted_… and encrypt it, or say above why it is none"
    there = {label for label, _ in columns()}
    assert there >= HASHED | SIGNED_IN_BY | ENCRYPTED_WITHIN, "what is listed exists"


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    found = [(model, field.name) for model in apps.get_models() for field in model._meta.concrete_fields]
    return [(model, name) for model, name in found if name.startswith("encrypted_")]


def test_what_is_set_as_a_secret_is_stored_encrypted_and_shown_by_no_admin() -> None:
    from django.contrib import admin

    assert len(encrypted_columns()) >= 9
    for model, name in encrypted_columns():
        plain, shown = name.removeprefix("encrypted_"), admin.site._registry.get(model)
        if shown is not None:
            fields = shown.fields or [each.name for each in model._meta.fields if each.editable]
            fields = set(fields) - set(shown.exclude or ())
            assert name not in {*fields, *shown.list_display, *shown.readonly_fields}, f"{model} {name}"
        if isinstance(getattr(model, plain, None), property):
            row = model()
            setattr(row, plain, "a secret of a test")
            stored = getattr(row, name)
            assert "secret" not in stored
            assert Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(stored.encode()) == b"a secret of a test"
            assert "a secret of a test" not in repr(row) + str(row)


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["log", "task", "database", "page"])
def test_the_guard_of_the_suite_finds_a_secret_that_got_out(
    monkeypatch: pytest.MonkeyPatch, client: Client, make_user: Callable[..., User], where: str
) -> None:
    secret = "a-long-secret-of-a-test"
    client.force_login(make_user())
    with guarding(monkeypatch) as guard:
        credentials.encrypt(secret)
        _let_out(where, secret, monkeypatch, client)
    assert [each.partition(":")[0] for each in guard.found] == [where]


@pytest.mark.django_db(transaction=True)
def test_the_guard_of_the_suite_looks_into_other_threads_and_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = "a-long-secret-of-a-test"

    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [secret])
        connection.close()

    with guarding(monkeypatch) as guard:
        credentials.encrypt(secret)
        thread = Thread(target=write)
        thread.start()
        thread.join()
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "qcluster.log").write_text(f"refused {secret}")
        guard.logs_in(tmp_path)
    assert guard.found == ["database: SELECT %s", "log: qcluster.log"]


def _let_out(where: str, secret: str, monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    if where == "log":
        logging.getLogger("mailbox").warning("refused %s", secret)
    elif where == "task":
        monkeypatch.setattr(queueing, "async_task", lambda *_, **__: None)
        queueing._send_to_broker("some.task", (secret,), {})
    elif where == "database":
        AuditEntry.objects.create(verb="x", target="", detail=f"it was {secret}")
    else:
        monkeypatch.setattr("prx_email_site.keyboard.render", lambda *_: HttpResponse(secret))
        client.get(reverse("keyboard"))


@pytest.mark.django_db
def test_the_guard_lets_what_is_handed_out_be_shown_once(
    monkeypatch: pytest.MonkeyPatch, make_user: Callable[..., User]
) -> None:
    user = make_user()
    with guarding(monkeypatch) as guard:
        terms = program_tokens.Terms("billing", [], timezone.now())
        link = link_tokens.link_for(user, link_tokens.LinkPurpose.PASSWORD)
        for where in (program_tokens.make(user, terms, by=None)[1], link):
            guard.page("/made/", f"<p>{where}</p>")
            assert not guard.found
            guard.page("/another/", f"<p>{where}</p>")
            logging.getLogger("mailbox").warning("shown: %s", where.rstrip("/").rpartition("/")[2])
            assert [guard.found.pop(), guard.found.pop()] == ["log: mailbox", "page: /another/"]


def test_the_guard_says_nothing_of_what_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with guarding(monkeypatch) as guard:
        credentials.encrypt("short")
        logging.getLogger("mailbox").warning("a short sentence")
    assert isinstance(guard, Guard) and not guard.found
