"""No secret leaves the database: not in a page, a task, a session, a log line or an address."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from mailbox.models import Account, AuditEntry, Transport
from tests.addresses import EXPECTED, rows

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
__all__ = ["rows"]

SECRETS = ("imap-s3same-oil", "smtp-t0ken-of-old", "brand-new-s3cret", "refused-s3cret")
TYPED = {"imap_host": "localhost", "imap_port": 993, "imap_user": "u", "smtp_host": "localhost", "smtp_port": 465}


@pytest.fixture
def superuser(client: Client, make_user: Callable[..., User]) -> Client:
    user = make_user("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.fixture
def secret_account(account: Account, rows: dict[str, int]) -> Account:
    account.imap.password = SECRETS[0]
    account.smtp.password, account.smtp.oauth_token = None, SECRETS[1]
    account.imap.save()
    account.smtp.save()
    return account


def hidden() -> list[str]:
    """Everything that must not be seen: secrets as typed, and as they are stored."""
    stored = Transport.objects.values_list("encrypted_password", "encrypted_oauth_token")
    return [*SECRETS, *(each for pair in stored for each in pair if each)]


def test_no_page_holds_a_secret(superuser: Client, secret_account: Account, rows: dict[str, int]) -> None:
    names = [name for name, expected in EXPECTED.items() if expected.to_read]
    addresses = [
        reverse(name, args=[*(rows[each] for each in EXPECTED[name].names), *EXPECTED[name].args]) for name in names
    ]
    for model in [*apps.get_app_config("mailbox").get_models(), *apps.get_app_config("outbox").get_models()]:
        table = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses.append(reverse(f"{table}_changelist"))
        addresses += [reverse(f"{table}_change", args=[row.pk]) for row in model._default_manager.all()[:2]]
    for address in addresses:
        response = superuser.get(address, follow=True)
        shown = response.getvalue()
        for secret in hidden():
            assert secret.encode() not in shown, address
            assert secret not in str(response.headers), address


def forms_that_take_a_secret(account: Account) -> list[tuple[str, dict[str, object]]]:
    edit = reverse("mailbox:account_edit", args=[account.pk])
    sign_in = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    transport = reverse("admin:mailbox_transport_change", args=[account.imap.pk])
    where = {"host": "localhost", "port": "1", "security": "tls", "user": "u"}
    both = {"imap_password": SECRETS[3], "imap_oauth_token": SECRETS[3]}
    return [
        (reverse("mailbox:account_add"), {"email": "not an address", **TYPED, "imap_password": SECRETS[3]}),
        (reverse("mailbox:account_add"), {"email": "b@example.com", **TYPED, **both, "smtp_same": "on"}),
        (edit, {"email": account.email, **TYPED, **both, "smtp_same": "on"}),
        (edit, {"email": account.email, **TYPED, "imap_password": SECRETS[2], "smtp_same": "on", "then": "test"}),
        (sign_in, {"password": SECRETS[3], "oauth_token": SECRETS[3]}),
        (sign_in, {"password": SECRETS[2], "both": "on"}),
        (transport, {**where, "new_password": SECRETS[3], "new_oauth_token": SECRETS[3]}),
        (transport, {**where, "new_password": SECRETS[2]}),
    ]


def test_what_is_typed_is_never_shown_again_nor_kept_elsewhere(
    superuser: Client,
    secret_account: Account,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: object,
) -> None:
    caplog.set_level(logging.DEBUG)
    for address, typed in forms_that_take_a_secret(secret_account):
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            response = superuser.post(address, typed)
        assert response.status_code in (200, 302)
        for secret in hidden():
            assert secret.encode() not in response.content, address
            assert secret not in str(response.headers), address
    assert Transport.objects.get(pk=secret_account.imap.pk).password == SECRETS[2], "the forms were taken"
    kept = [str(SignedPackage.loads(row.payload)) for row in OrmQ.objects.all()]
    assert kept, "tasks were queued"
    kept += [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [f"{entry.target} {entry.detail}" for entry in AuditEntry.objects.all()]
    kept += [record.getMessage() + str(record.args) for record in caplog.records]
    for secret in hidden():
        assert not [each for each in kept if secret in each]
