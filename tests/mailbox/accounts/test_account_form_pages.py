"""An account's form in the browser: adding, editing, signing in again; what is kept and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry, ConnectionTest, Folder, SyncState, Transport
from outbox.models import OutboxMessage
from tests.mailbox.accounts.account_settings import TYPED, account, settings_of
from tests.rows import folder_of, outbox_row, tasks_queued
from tests.servers.certificates import Certificates

__all__ = ["account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


# --- adding ---------------------------------------------------------------------------------------------------


def test_a_preset_fills_the_form_without_javascript(administrator: Client) -> None:
    page = administrator.get(reverse("mailbox:account_add") + "?preset=outlook").content.decode()
    assert 'value="outlook.office365.com"' in page
    assert 'value="smtp.office365.com"' in page
    assert 'value="587"' in page
    assert "paste an access token" in page


def test_an_added_account_has_both_transports_and_its_first_look_is_queued(administrator: Client) -> None:
    response = administrator.post(reverse("mailbox:account_add"), TYPED)
    account = Account.objects.get()
    assert response.url == reverse("connection_test", args=[ConnectionTest.objects.get(account=account).pk])
    assert (account.imap.password, account.smtp.password) == ("imap-sesame", "imap-sesame")
    assert (account.smtp.user, account.smtp.security) == ("ann@example.com", "starttls")
    assert account.imap.encrypted_oauth_token is None
    assert tasks_queued() == ["mailbox.tasks.list_folders", "outbox.tasks.run_connection_test"]
    assert AuditEntry.objects.get(verb="add_account").account == account


def test_of_a_new_account_nothing_is_fetched_before_its_folders_are_chosen_with_inbox_ticked(
    administrator: Client,
) -> None:
    administrator.post(reverse("mailbox:account_add"), TYPED)
    account = Account.objects.get()
    inbox, projects = folder_of(account), Folder.objects.create(account=account, name="Projects")
    assert not Folder.objects.chosen().exists()
    page = administrator.get(reverse("mailbox:account_folders", args=[account.pk]))
    assert [row.label for row in page.context["rows"] if row.is_ticked] == ["INBOX"]
    assert not Folder.objects.chosen().exists(), "to look at the list chooses nothing"
    chosen = {"shown": [inbox.pk, projects.pk], "folder": [projects.pk]}
    administrator.post(reverse("mailbox:account_folders", args=[account.pk]), chosen)
    assert list(Folder.objects.chosen()) == [projects]
    assert "mailbox.tasks.sync_account" in tasks_queued()
    page = administrator.get(reverse("mailbox:account_folders", args=[account.pk]))
    assert [row.label for row in page.context["rows"] if row.is_ticked] == ["Projects"]


def test_on_gmail_the_folders_that_hold_its_mail_are_ticked(administrator: Client) -> None:
    administrator.post(reverse("mailbox:account_add"), TYPED)
    account = Account.objects.get()
    Folder.objects.filter(account=account).update(is_label=True)
    for name, use in (("All Mail", "\\All"), ("Trash", "\\Trash"), ("Work", "")):
        Folder.objects.create(account=account, name=name, special_use=use, is_label=not use)
    page = administrator.get(reverse("mailbox:account_folders", args=[account.pk]))
    assert [row.label for row in page.context["rows"] if row.is_ticked] == ["All Mail", "Trash"]


def test_push_is_on_unless_it_is_switched_off(administrator: Client) -> None:
    administrator.post(reverse("mailbox:account_add"), TYPED)
    account = Account.objects.get()
    assert account.push_enabled
    without = {name: value for name, value in settings_of(account).items() if name != "push_enabled"}
    administrator.post(reverse("mailbox:account_edit", args=[account.pk]), without)
    account.refresh_from_db()
    assert not account.push_enabled


@pytest.mark.parametrize(("port", "security"), [("465", "tls"), ("587", "starttls"), ("1025", "starttls")])
def test_without_a_choice_the_port_decides_how_smtp_is_secured(administrator: Client, port: str, security: str) -> None:
    administrator.post(reverse("mailbox:account_add"), TYPED | {"smtp_port": port})
    assert Account.objects.get().smtp.security == security


def test_smtp_may_sign_in_differently(administrator: Client) -> None:
    own = {"smtp_same": "", "smtp_user": "relay", "smtp_oauth_token": "ya29.token"}
    administrator.post(reverse("mailbox:account_add"), TYPED | own)
    smtp = Account.objects.get().smtp
    assert (smtp.user, smtp.oauth_token, smtp.encrypted_password) == ("relay", "ya29.token", None)


REFUSED = [
    ({"imap_password": ""}, "exactly one of password and OAuth token"),
    ({"imap_oauth_token": "ya29"}, "exactly one of password and OAuth token"),
    ({"smtp_same": "", "smtp_user": "relay"}, "exactly one of password and OAuth token"),
    ({"smtp_same": ""}, "Give the user name"),
    ({"imap_host": ""}, "Give the server&#x27;s host name"),
    ({"imap_host": "imap example.com"}, "A host name has no spaces"),
    ({"imap_user": ""}, "Give the user name"),
    ({"imap_user": "ann\r\nX: y"}, "no line breaks"),
    ({"imap_port": "0"}, "from 1 to 65535"),
    ({"smtp_port": "65536"}, "from 1 to 65535"),
    ({"smtp_port": "smtp"}, "from 1 to 65535"),
    ({"email": "ann"}, "looks like ann@example.com"),
    ({"email": ""}, "Give the e-mail address"),
    ({"display_name": "Ann\nBcc: eve@example.com"}, "no line breaks"),
    ({"ca_certificate": "hello"}, "not a certificate in PEM"),
    ({"ca_certificate": "-----BEGIN PRIVATE KEY-----"}, "private key"),
]


@pytest.mark.parametrize(("wrong", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_with_a_sentence_and_nothing_is_saved(
    administrator: Client, wrong: dict[str, str], sentence: str
) -> None:
    response = administrator.post(reverse("mailbox:account_add"), TYPED | wrong)
    page = response.content.decode()
    assert sentence in page
    assert all(len(said) == len(set(said)) for said in response.context["form"].errors.values())  # once each
    assert "Nothing was saved yet" in page
    assert not Account.objects.exists()
    assert not Transport.objects.exists()
    assert tasks_queued() == []


def test_a_refused_form_keeps_what_was_typed_but_never_a_secret(administrator: Client) -> None:
    typed = TYPED | {"email": "wrong", "imap_oauth_token": "ya29.very-secret"}
    page = administrator.post(reverse("mailbox:account_add"), typed).content.decode()
    assert "imap.example.com" in page
    assert "imap-sesame" not in page
    assert "very-secret" not in page


def test_an_address_is_added_once_whatever_its_case(administrator: Client, account: Account) -> None:
    page = administrator.post(reverse("mailbox:account_add"), TYPED | {"email": "OPS@example.com"}).content.decode()
    assert "An account with this address exists already." in page
    assert Account.objects.count() == 1


def test_a_certificate_may_be_uploaded(administrator: Client, certificates: Certificates) -> None:
    file = SimpleUploadedFile("ca.pem", certificates.ca_pem.encode())
    administrator.post(reverse("mailbox:account_add"), TYPED | {"ca_file": file})
    assert "BEGIN CERTIFICATE" in Account.objects.get().ca_certificate


def test_a_binary_certificate_is_refused_with_the_way_out(administrator: Client) -> None:
    file = SimpleUploadedFile("ca.der", b"\x30\x82\xff")
    page = administrator.post(reverse("mailbox:account_add"), TYPED | {"ca_file": file}).content.decode()
    assert "openssl x509" in page


def test_save_and_test_shows_the_test(
    administrator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        url = reverse("mailbox:account_edit", args=[account.pk])
        response = administrator.post(url, settings_of(account, then="test"))
    test = ConnectionTest.objects.get()
    assert response.url == reverse("connection_test", args=[test.pk])
    assert "outbox.tasks.run_connection_test" in tasks_queued()


# --- editing --------------------------------------------------------------------------------------------------


def test_empty_secrets_keep_the_stored_ones(administrator: Client, account: Account) -> None:
    before = (account.imap.encrypted_password, account.smtp.encrypted_password)
    administrator.post(reverse("mailbox:account_edit", args=[account.pk]), settings_of(account, display_name="Ops"))
    account = Account.objects.get()
    assert account.display_name == "Ops"
    assert (account.imap.encrypted_password, account.smtp.encrypted_password) == before


def test_a_token_replaces_the_password_which_becomes_null(administrator: Client, account: Account) -> None:
    url = reverse("mailbox:account_edit", args=[account.pk])
    administrator.post(url, settings_of(account, imap_oauth_token="ya29.new"))
    imap = Account.objects.get().imap
    assert (imap.oauth_token, imap.encrypted_password) == ("ya29.new", None)


def test_the_edit_form_never_shows_a_secret(administrator: Client, account: Account) -> None:
    page = administrator.get(reverse("mailbox:account_edit", args=[account.pk])).content.decode()
    for secret in ("old imap", "old smtp", account.imap.encrypted_password, account.smtp.encrypted_password):
        assert str(secret) not in page


def test_another_host_forgets_what_the_former_one_said(
    administrator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    later = timezone.now() + timedelta(hours=1)
    account.imap.mark_needs_sign_in("no", timezone.now())
    Transport.objects.update(next_allowed_at=later)
    SyncState.objects.create(
        account=account, folder=folder_of(account), next_allowed_at=later, failure_count=5, last_error="no"
    )
    with django_capture_on_commit_callbacks(execute=True):
        url = reverse("mailbox:account_edit", args=[account.pk])
        administrator.post(url, settings_of(account, imap_host="imap2.example.com", imap_password="new"))
    account = Account.objects.get()
    assert (account.imap.needs_sign_in_since, account.imap.next_allowed_at, account.imap.failure_count) == (
        None,
        None,
        0,
    )
    assert SyncState.objects.get().next_allowed_at is None
    assert "mailbox.tasks.sync_account" in tasks_queued()


def test_a_mere_name_does_not_forget_a_refused_sign_in(administrator: Client, account: Account) -> None:
    account.imap.mark_needs_sign_in("no", timezone.now())
    account.refresh_from_db()
    url = reverse("mailbox:account_edit", args=[account.pk])
    administrator.post(url, settings_of(account, display_name="Other"))
    assert Account.objects.get().imap.needs_sign_in_since is not None


def test_signing_in_again_frees_what_waited_for_it(
    administrator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    account.smtp.mark_needs_sign_in("535 no", timezone.now())
    held = outbox_row(account, status="failed", hold="sign_in", next_attempt_at=timezone.now() + timedelta(hours=1))
    with django_capture_on_commit_callbacks(execute=True):
        url = reverse("mailbox:account_sign_in", args=[account.pk, "smtp"])
        response = administrator.post(url, {"password": "new secret"})
    assert response.url == reverse("connection_test", args=[ConnectionTest.objects.get().pk]), "it is tried at once"
    account, held = Account.objects.get(), OutboxMessage.objects.get(pk=held.pk)
    assert (account.smtp.password, account.smtp.needs_sign_in_since) == ("new secret", None)
    assert account.imap.password == "old imap"
    assert held.hold == ""
    assert "outbox.tasks.deliver" in tasks_queued()
    verbs = AuditEntry.objects.order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["sign_in_again", "test_connection"]


def test_one_secret_may_serve_both_servers(administrator: Client, account: Account) -> None:
    url = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    administrator.post(url, {"oauth_token": "ya29", "both": "on"})
    account = Account.objects.get()
    assert (account.imap.oauth_token, account.smtp.oauth_token) == ("ya29", "ya29")


@pytest.mark.parametrize("typed", [{}, {"password": "a", "oauth_token": "b"}])
def test_signing_in_needs_exactly_one_secret(administrator: Client, account: Account, typed: dict[str, str]) -> None:
    url = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    assert administrator.post(url, typed).status_code == 200
    assert Account.objects.get().imap.password == "old imap"
