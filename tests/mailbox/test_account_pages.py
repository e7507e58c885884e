"""Accounts in the browser: the list with its health, adding, editing, signing in again, folders, buttons, deletion."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from mailbox.models import (
    Account,
    AuditEntry,
    ConnectionTest,
    Folder,
    Lease,
    SyncRun,
    SyncRunFolder,
    SyncState,
    Transport,
)
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import OutboxMessage
from tests.rows import NOWHERE, folder_of, letter, outbox_row, queries_of, store, tasks_queued
from tests.servers.certificates import Certificates

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
TYPED = {
    "email": "ann@example.com",
    "display_name": "Ann",
    "sync_enabled": "on",
    "send_enabled": "on",
    "push_enabled": "on",
    "imap_host": "imap.example.com",
    "imap_port": "993",
    "imap_user": "ann@example.com",
    "imap_password": "imap-sesame",
    "smtp_host": "smtp.example.com",
    "smtp_port": "587",
    "smtp_same": "on",
}


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE, imap_password="old imap", smtp_password="old smtp")


@pytest.fixture
def administrator(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("administrator"))
    return client


def as_user(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def settings_of(account: Account, **changes: str) -> dict[str, str]:
    """What the browser sends of an edit form nobody changed, with changes."""
    typed = {
        "email": account.email,
        "display_name": account.display_name,
        "sync_enabled": "on",
        "send_enabled": "on",
        "push_enabled": "on",
        "ca_certificate": account.ca_certificate,
    }
    for kind, transport in (("imap", account.imap), ("smtp", account.smtp)):
        typed |= {f"{kind}_host": transport.host, f"{kind}_port": str(transport.port), f"{kind}_user": transport.user}
    return typed | {"smtp_security": account.smtp.security} | changes


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
    first_look = ["mailbox.tasks.list_folders", "mailbox.tasks.sync_account"]
    assert tasks_queued() == [*first_look, "outbox.tasks.run_connection_test"]
    assert AuditEntry.objects.get(verb="add_account").account == account


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


# --- health ---------------------------------------------------------------------------------------------------


def test_a_refused_sign_in_is_said_with_the_servers_words_and_its_button(
    administrator: Client, account: Account
) -> None:
    account.imap.mark_needs_sign_in("[AUTHENTICATIONFAILED] Invalid credentials", timezone.now())
    page = administrator.get(reverse("mailbox:accounts")).content.decode()
    assert "IMAP needs sign-in" in page
    assert "[AUTHENTICATIONFAILED] Invalid credentials" in page
    assert reverse("mailbox:account_sign_in", args=[account.pk, "imap"]) in page


def test_a_failing_folder_is_said_with_what_to_do(administrator: Client, account: Account) -> None:
    SyncState.objects.create(
        account=account,
        folder=folder_of(account),
        failure_count=3,
        last_error_code="network",
        last_error="imap.example.com:993 refused the connection; is the port right?",
        last_attempt_at=timezone.now(),
    )
    page = administrator.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert "The last 3 tries to fetch INBOX failed." in page
    assert "Nothing listens on that port." in page


def test_the_account_page_shows_its_runs_folder_by_folder(administrator: Client, account: Account) -> None:
    run = SyncRun.objects.create()
    SyncRunFolder.objects.create(
        run=run, account=account, folder_name="Archive", ok=False, fetched=17, bytes=2048, error="it broke"
    )
    page = administrator.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    for words in ("Archive", "17", "2.0\xa0KB", "it broke"):
        assert words in page


def test_a_partial_update_is_the_same_fragment_without_a_frame(administrator: Client, account: Account) -> None:
    for name, args in (("mailbox:accounts", []), ("mailbox:account", [account.pk])):
        page = administrator.get(reverse(name, args=args), headers={"HX-Request": "true"}).content.decode()
        assert "first sync is waiting" in page
        assert "<html" not in page


def test_neither_list_asks_more_for_more_rows(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    def more() -> None:
        for number in range(18):
            other = make_account(f"more{number}@example.com", **NOWHERE)
            for name in ("INBOX", "Sent"):
                SyncState.objects.create(account=other, folder=folder_of(other, name), failure_count=1, last_error="x")
            run = SyncRun.objects.create()
            SyncRunFolder.objects.create(run=run, account=account, folder_name="INBOX", ok=True)
            AuditEntry.objects.create(account=other, verb="retry", target="outbox:1", user=User.objects.first())
            folder_of(account, f"F{number}")

    administrator.get(reverse("mailbox:accounts"))
    urls = [
        reverse("mailbox:accounts"),
        reverse("mailbox:account", args=[account.pk]),
        reverse("mailbox:account_runs", args=[account.pk]),
        reverse("mailbox:account_folders", args=[account.pk]),
        reverse("mailbox:activity"),
    ]
    SyncState.objects.create(account=account, folder=folder_of(account))
    AuditEntry.objects.create(account=account, verb="retry", target="outbox:1", user=User.objects.first())
    before = [queries_of(administrator, url, lambda: None)[0] for url in urls]
    more()
    after = [queries_of(administrator, url, lambda: None)[0] for url in urls]
    assert after == before


@pytest.mark.parametrize("name", ["mailbox:accounts", "mailbox:activity"])
@pytest.mark.parametrize("limit", ["0", "501", "many", "-1"])
def test_a_limit_outside_1_to_500_is_refused(administrator: Client, name: str, limit: str) -> None:
    response = administrator.get(reverse(name) + f"?limit={limit}")
    assert response.status_code == 400
    assert "from 1 to 500" in response.content.decode()


def test_the_list_goes_on_behind_the_last_address(administrator: Client, make_account: Callable[..., Account]) -> None:
    for letter_ in "abc":
        make_account(f"{letter_}@example.com", **NOWHERE)
    url, seen = reverse("mailbox:accounts") + "?limit=1", []
    while url:
        page = administrator.get(url).content.decode()
        seen += re.findall(r"<strong>(\w)@example", page)
        further = re.search(r'href="(\?after=[^"]+)">More', page)
        url = reverse("mailbox:accounts") + further[1].replace("&amp;", "&") if further else ""
    assert seen == ["a", "b", "c"]


# --- buttons --------------------------------------------------------------------------------------------------


def test_sync_now_queues_a_sync_and_is_kept_with_its_person(administrator: Client, account: Account) -> None:
    administrator.post(reverse("mailbox:account_sync", args=[account.pk]))
    assert tasks_queued() == ["mailbox.tasks.sync_account"]
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.account, entry.user) == ("sync_now", account, User.objects.get())


def test_sending_is_paused_and_resumed(administrator: Client, account: Account) -> None:
    administrator.post(reverse("mailbox:account_pause", args=[account.pk]))
    assert not Account.objects.sending().exists()
    administrator.post(reverse("mailbox:account_resume", args=[account.pk]))
    assert Account.objects.sending().exists()
    assert [entry.verb for entry in AuditEntry.objects.order_by("pk")] == ["pause_sending", "resume_sending"]


def test_pausing_twice_keeps_the_first_time(administrator: Client, account: Account) -> None:
    administrator.post(reverse("mailbox:account_pause", args=[account.pk]))
    first = Account.objects.get().sending_paused_at
    administrator.post(reverse("mailbox:account_pause", args=[account.pk]))
    assert Account.objects.get().sending_paused_at == first
    assert AuditEntry.objects.count() == 1


def test_fetching_is_switched_off_and_on(administrator: Client, account: Account) -> None:
    url = reverse("mailbox:account_fetching", args=[account.pk])
    administrator.post(url, {"on": "0"})
    assert not Account.objects.syncing().exists()
    administrator.post(url, {"on": "1"})
    assert Account.objects.syncing().exists()


def test_a_connection_test_shows_both_servers_words_and_what_to_do(administrator: Client, account: Account) -> None:
    test = ConnectionTest.objects.create(
        account=account,
        finished_at=timezone.now(),
        imap_ok=False,
        imap_reply="The host name imap.exmple.com was not found: [Errno -2] Name or service not known",
        smtp_ok=True,
        smtp_reply="235 2.7.0 Welcome",
    )
    url = reverse("connection_test", args=[test.pk])
    page = administrator.get(url).content.decode()
    assert "Name or service not known" in page
    assert "Check the host for typing mistakes" in page
    assert "235 2.7.0 Welcome" in page
    assert administrator.get(url, headers={"HX-Request": "true"}).status_code == 286, "htmx stops polling at this"


def test_a_running_test_is_polled(administrator: Client, account: Account) -> None:
    test = ConnectionTest.objects.create(account=account)
    url = reverse("connection_test", args=[test.pk])
    assert 'hx-trigger="every 2s"' in administrator.get(url).content.decode()
    assert administrator.get(url, headers={"HX-Request": "true"}).status_code == 200


# --- folders --------------------------------------------------------------------------------------------------


def test_folders_are_chosen_by_ticking(administrator: Client, account: Account) -> None:
    inbox, sent = folder_of(account), Folder.objects.create(account=account, name="Sent", special_use="\\Sent")
    unseen = Folder.objects.create(account=account, name="Listed meanwhile", sync_enabled=True)
    url = reverse("mailbox:account_folders", args=[account.pk])
    assert "sent mail" in administrator.get(url).content.decode()
    administrator.post(url, {"shown": [inbox.pk, sent.pk], "folder": [sent.pk]})
    synced = set(Folder.objects.filter(sync_enabled=True))
    assert synced == {sent, unseen}, "a folder that was not on the form keeps its tick"
    assert tasks_queued() == ["mailbox.tasks.sync_account"]
    assert AuditEntry.objects.get().detail == "+Sent, -INBOX"


def test_nested_folders_stand_below_their_parents(administrator: Client, account: Account) -> None:
    for name in ("INBOX/Kunden/Müller", "INBOX", "INBOX/Kunden", "受信"):
        Folder.objects.create(account=account, name=name, delimiter="/")
    page = administrator.get(reverse("mailbox:account_folders", args=[account.pk])).content.decode()
    labels = re.findall(r'<li class="depth-(\d)">.*?name="folder"[^>]*> (.*?)</label>', page, re.DOTALL)
    assert labels == [("0", "INBOX"), ("1", "Kunden"), ("2", "Müller"), ("0", "受信")]


def test_a_folder_of_another_account_is_not_chosen_by_its_number(
    administrator: Client, account: Account, make_account: Callable[..., Account]
) -> None:
    other = Folder.objects.create(account=make_account("x@example.com", **NOWHERE), name="INBOX")
    url = reverse("mailbox:account_folders", args=[account.pk])
    administrator.post(url, {"shown": [other.pk], "folder": [other.pk]})
    assert not Folder.objects.get().sync_enabled


def test_the_page_waits_for_a_folder_listing_until_it_is_there(administrator: Client, account: Account) -> None:
    response = administrator.post(reverse("mailbox:account_folders_refresh", args=[account.pk]))
    assert tasks_queued() == ["mailbox.tasks.list_folders"]
    assert "A worker is asking" in administrator.get(response.url).content.decode()
    Account.objects.update(folders_listed_at=timezone.now())
    assert "Show the new list" in administrator.get(response.url).content.decode()


# --- deleting -------------------------------------------------------------------------------------------------


def test_deleting_takes_the_account_and_its_secrets_away(administrator: Client, account: Account) -> None:
    store(account, letter())
    outbox_row(account, status="sent")
    url = reverse("account_delete", args=[account.pk])
    assert "1 fetched message in 1 folder" in administrator.get(url).content.decode()
    assert Account.objects.exists(), "looking deletes nothing"
    administrator.post(url)
    assert not Account.objects.exists()
    assert not Transport.objects.exists()
    assert AuditEntry.objects.get().detail == "ops@example.com"


@pytest.mark.parametrize(
    "fields", [{"status": "pending"}, {"status": "failed"}, {"status": "failed", "hold": "uncertain"}]
)
def test_deleting_is_refused_while_mail_waits(administrator: Client, account: Account, fields: dict[str, str]) -> None:
    outbox_row(account, **fields)
    response = administrator.post(reverse("account_delete", args=[account.pk]), follow=True)
    assert "1 mail has not gone out" in response.content.decode()
    assert Account.objects.filter(sync_enabled=True, send_enabled=True).exists()


def test_deleting_waits_for_a_running_sync(administrator: Client, account: Account) -> None:
    Lease.acquire(account.pk, "sync", "worker", seconds=60, now=timezone.now())
    response = administrator.post(reverse("account_delete", args=[account.pk]), follow=True)
    assert "A worker is busy" in response.content.decode()
    assert Account.objects.filter(sync_enabled=True).exists()
    assert not Lease.objects.filter(purpose="send").exists()


# --- activity -------------------------------------------------------------------------------------------------


def test_activity_is_listed_newest_first_in_words(administrator: Client, account: Account) -> None:
    for verb in ("sync_now", "pause_sending"):
        AuditEntry.objects.create(user=User.objects.get(), account=account, verb=verb)
    page = administrator.get(reverse("mailbox:activity")).content.decode()
    assert page.index("paused sending") < page.index("asked for a sync")


def test_activity_of_unseen_accounts_stays_unseen(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    AuditEntry.objects.create(account=account, verb="sync_now", detail="of the unseen")
    page = as_user(client, make_user("")).get(reverse("mailbox:activity")).content.decode()
    assert "of the unseen" not in page
