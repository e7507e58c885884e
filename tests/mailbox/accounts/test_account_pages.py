"""Accounts in the browser: the list with its health, buttons, folders, deletion, activity."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import (
    Account,
    AuditEntry,
    ConnectionTest,
    Folder,
    Lease,
    Message,
    SyncRun,
    SyncRunFolder,
    SyncState,
    Transport,
)
from outbox import tasks as outbox_tasks
from tests.mailbox.accounts.account_settings import account
from tests.rows import NOWHERE, folder_of, letter, outbox_row, queries_of, store, tasks_queued

__all__ = ["account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def as_user(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


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
    old, shown = "2026-01-01T00:00:00+00:00", Account.objects.get().sending_paused_at
    assert shown is not None
    for paused_at, resumes in ((old, False), ("", False), (shown.isoformat(), True)):
        administrator.post(reverse("mailbox:account_resume", args=[account.pk]), {"paused_at": paused_at})
        assert Account.objects.sending().exists() == resumes
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


@pytest.mark.parametrize("works", [{"imap_ok"}, {"smtp_ok"}, set(), {"imap_ok", "smtp_ok"}])
def test_an_account_that_does_not_work_can_be_deleted_where_its_test_says_so(
    administrator: Client, client: Client, account: Account, make_user: Callable[..., User], works: set[str]
) -> None:
    result = {name: name in works for name in ("imap_ok", "smtp_ok")}
    test = ConnectionTest.objects.create(account=account, finished_at=timezone.now(), **result)
    url, link = reverse("connection_test", args=[test.pk]), f'href="{reverse("account_delete", args=[account.pk])}"'
    assert (link in administrator.get(url).content.decode()) == (len(works) < 2)
    client.force_login(make_user("operator"))
    assert link not in client.get(url).content.decode()
    Account.objects.update(created_at=timezone.now() - timedelta(days=2))
    administrator_page = administrator.get(url).content.decode()
    assert link not in administrator_page  # of an account in use it stands on its own page only


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


def test_deleting_waits_for_a_running_sync_and_needs_no_second_click(administrator: Client, account: Account) -> None:
    store(account, letter())
    Lease.acquire(account.pk, "sync", "worker", seconds=60, now=timezone.now())
    response = administrator.post(reverse("account_delete", args=[account.pk]), follow=True)
    assert "is being deleted here" in response.content.decode()
    assert "being deleted" in administrator.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert Message.objects.exists() and not Lease.objects.filter(purpose="send").exists()
    assert tasks_queued() == ["outbox.tasks.delete_account"]
    Lease.objects.all().delete()
    outbox_tasks.delete_account(account.pk)
    assert not Account.objects.exists()


# --- activity -------------------------------------------------------------------------------------------------


def test_activity_is_listed_newest_first_in_words(administrator: Client, account: Account) -> None:
    for verb in ("sync_now", "pause_sending"):
        AuditEntry.objects.create(user=User.objects.get(), account=account, verb=verb)
    page = administrator.get(reverse("mailbox:activity")).content.decode()
    listed = page.partition("<table")[2]  # behind the choice of verbs
    assert listed.index("paused sending") < listed.index("asked for a sync")


def test_an_accounts_own_activity_says_who_acted_as_the_whole_one_does(administrator: Client, account: Account) -> None:
    for verb, detail in (("found_in_sent", ""), ("retry", ""), ("send", AuditEntry.OWN_MAIL)):
        AuditEntry.objects.create(account=account, verb=verb, detail=detail)
    page = administrator.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    listed = page.partition('<ul class="activity">')[2].partition("</ul>")[0]
    assert re.findall("<strong><bdi>(.*?)</bdi>", listed) == ["the site", "command line", "a worker"]


def test_activity_of_unseen_accounts_stays_unseen(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    AuditEntry.objects.create(account=account, verb="sync_now", detail="of the unseen")
    page = as_user(client, make_user("")).get(reverse("mailbox:activity")).content.decode()
    assert "of the unseen" not in page
