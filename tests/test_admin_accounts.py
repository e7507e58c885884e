"""Accounts and their transports in Django's admin: secrets, certificates, actions."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AccountGrant, AuditEntry, Quarantine, Transport
from tests.admin_pages import account, change, staff, superuser
from tests.rows import NOWHERE, folder_of, tasks_queued
from tests.servers.certificates import Certificates

__all__ = ["account", "staff", "superuser"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_no_page_of_the_admin_shows_a_secret(superuser: Client, account: Account) -> None:
    pages = [change(account), change(account.imap), change(account.smtp)]
    pages += [reverse("admin:mailbox_transport_changelist"), reverse("admin:mailbox_account_changelist")]
    shown = "".join(superuser.get(url).content.decode() for url in pages)
    for secret in ("imap sesame", "smtp sesame", account.imap.encrypted_password, account.smtp.encrypted_password):
        assert str(secret) not in shown


def transport_form(transport: Transport, **changes: str) -> dict[str, str]:
    typed = {"host": transport.host, "port": str(transport.port), "security": transport.security}
    return typed | {"user": transport.user} | changes


def test_a_new_secret_replaces_the_stored_one_of_either_kind(superuser: Client, account: Account) -> None:
    superuser.post(change(account.imap), transport_form(account.imap, new_oauth_token="ya29"))
    imap = Account.objects.get().imap
    assert (imap.oauth_token, imap.encrypted_password) == ("ya29", None)
    assert "new_oauth_token" in AuditEntry.objects.get(verb="edit_account").detail


def test_without_a_new_secret_the_stored_one_stays(superuser: Client, account: Account) -> None:
    superuser.post(change(account.imap), transport_form(account.imap, user="another@example.com"))
    imap = Account.objects.get().imap
    assert (imap.user, imap.password) == ("another@example.com", "imap sesame")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"new_password": "a", "new_oauth_token": "b"}, "exactly one of password and OAuth token"),
        ({"security": "starttls"}, "IMAP is TLS from the first byte"),
        ({"port": "65536"}, "65535"),
        ({"host": "a b"}, "A host name has no spaces"),
        ({"host": "imap.evil.example"}, "The host has changed, so enter the password or token again"),
    ],
)
def test_the_admin_refuses_what_the_form_refuses(
    superuser: Client, account: Account, wrong: dict[str, str], sentence: str
) -> None:
    page = superuser.post(change(account.imap), transport_form(account.imap, **wrong)).content.decode()
    assert sentence in page
    assert Account.objects.get().imap.password == "imap sesame"


def test_another_ca_in_the_admin_asks_for_both_secrets_again(
    superuser: Client, account: Account, certificates: Certificates
) -> None:
    typed = {"email": account.email, "sent_copy": account.sent_copy, "ca_certificate": certificates.ca_pem}
    said = superuser.post(change(account), typed).content.decode()
    assert said.count("The extra CA certificate has changed, so enter the password or token again") == 2
    half = superuser.post(change(account), typed | {"imap_password": "a"}).content.decode()
    assert half.count("The extra CA certificate has changed") == 1
    assert Account.objects.get().ca_certificate == ""
    assert superuser.post(change(account), typed | {"imap_password": "a", "smtp_oauth_token": "b"}).status_code == 302
    saved = Account.objects.get()
    assert (saved.ca_certificate.strip(), saved.imap.password) == (certificates.ca_pem.strip(), "a")
    assert (saved.smtp.oauth_token, saved.smtp.encrypted_password) == ("b", None)


def test_adding_and_deleting_accounts_goes_through_the_sites_own_pages(superuser: Client, account: Account) -> None:
    assert superuser.get(reverse("admin:mailbox_account_add")).url == reverse("mailbox:account_add")
    deletion = reverse("admin:mailbox_account_delete", args=[account.pk])
    assert superuser.post(deletion, {"post": "yes"}).url == reverse("account_delete", args=[account.pk])
    assert Account.objects.exists()


def run_action(client: Client, action: str, *rows: Account) -> str:
    return run_action_from(list_of_accounts(client), client, action, *rows)


def list_of_accounts(client: Client) -> str:
    return client.get(reverse("admin:mailbox_account_changelist")).content.decode()


def run_action_from(page: str, client: Client, action: str, *rows: Account) -> str:
    """As from the list that was shown then."""
    shown_at = re.search(r'name="shown_at" value="([^"]*)"', page)
    typed = {"action": action, "_selected_action": [row.pk for row in rows]}
    typed |= {"shown_at": [shown_at[1]]} if shown_at else {}
    return client.post(reverse("admin:mailbox_account_changelist"), typed, follow=True).content.decode()


def test_resume_in_an_old_list_of_accounts_does_not_lift_a_later_pause(superuser: Client, account: Account) -> None:
    old_list = list_of_accounts(superuser)
    Account.objects.update(sending_paused_at=timezone.now())
    assert "Sending was resumed for 0 accounts" in run_action_from(old_list, superuser, "resume_sending", account)
    assert "too old" in run_action_from("", superuser, "resume_sending", account)
    assert Account.objects.get().sending_paused_at is not None


def test_accounts_are_synced_paused_and_resumed_by_action(superuser: Client, account: Account) -> None:
    run_action(superuser, "sync_now", account)
    assert tasks_queued() == ["mailbox.tasks.sync_account"]
    run_action(superuser, "pause_sending", account)
    assert Account.objects.get().sending_paused_at is not None
    run_action(superuser, "resume_sending", account)
    assert Account.objects.get().sending_paused_at is None
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True)) == [
        "sync_now",
        "pause_sending",
        "resume_sending",
    ]


def test_who_may_only_look_gets_no_actions(client: Client, account: Account, make_user: Callable[..., User]) -> None:
    user = make_user("viewer")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=user.pk))
    page = run_action(client, "pause_sending", account)
    assert "Pause sending" not in page
    assert Account.objects.get().sending_paused_at is None


def test_an_action_leaves_out_accounts_one_may_not_operate(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    user, mine = make_user("viewer"), make_account("mine@example.com", **NOWHERE)
    AccountGrant.objects.create(user=user, account=mine, role="operator")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=user.pk))
    assert "1 skipped" in run_action(client, "pause_sending", account, mine)
    assert list(Account.objects.filter(sending_paused_at__isnull=False)) == [mine]


def test_quarantined_mail_is_asked_for_again(superuser: Client, account: Account) -> None:
    row = Quarantine.objects.create(account=account, folder=folder_of(account), uidvalidity=1, uid=1, error="broken")
    url = reverse("admin:mailbox_quarantine_changelist")
    superuser.post(url, {"action": "fetch_again", "_selected_action": [row.pk]})
    assert list(Quarantine.objects.wanted()) == [row]
    assert len(tasks_queued()) == 1
