"""What was found for an address: filled in, confirmed by a person; and the way on to the folders."""

from __future__ import annotations

import html
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.autoconfig.servers import (
    Discovery,
    LookupOutcome,
    LookupStep,
    ServerRefusal,
    ServerSettings,
    SettingsSource,
)
from mailbox.models import Account, AuditEntry, ConnectionTest, Folder
from tests.mailbox.accounts.account_settings import TYPED
from tests.mailbox.autoconfig.lookups import ADD, HTMX, administrator, found_by_srv, lookup, person, shown
from tests.rows import folder_of, tasks_queued

__all__ = ["administrator", "person"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


# --- What was found ---------------------------------------------------------------------------------------------
def test_the_form_is_filled_and_says_where_each_server_comes_from(administrator: Client, person: User) -> None:
    page = shown(administrator, f"{ADD}?lookup={lookup(person, found_by_srv()).pk}")
    for name, value in (("imap_host", "imap.example.com"), ("imap_port", "993"), ("smtp_port", "2587")):
        assert f'name="{name}" value="{value}"' in page
    assert "published by the domain in DNS, as _imaps._tcp.example.com" in page
    assert page.count("This host is outside of the address's domain") == 1
    assert "Autoconfiguration at autoconfig.example.com/x" in page
    assert "nothing is saved yet" in page
    assert not Account.objects.exists()
    assert tasks_queued() == []


def test_another_user_name_for_each_server_is_kept_apart(administrator: Client, person: User) -> None:
    page = shown(administrator, f"{ADD}?lookup={lookup(person, found_by_srv()).pk}")
    assert 'name="smtp_same" id="id_smtp_same" checked' not in page
    assert 'name="imap_user" value="ann"' in page


def test_what_is_not_taken_is_told_in_words(administrator: Client, person: User) -> None:
    found = Discovery(
        steps=[
            LookupStep(
                SettingsSource.SRV,
                "_imap._tcp.example.com",
                LookupOutcome.UNUSABLE,
                "imap.example.com:143",
                ServerRefusal.STARTTLS,
                "imap",
            ),
            LookupStep(
                SettingsSource.AUTOCONFIG,
                "example.com/x",
                LookupOutcome.UNUSABLE,
                "smtp.example.com:25",
                ServerRefusal.PLAIN,
                "smtp",
            ),
            LookupStep(
                SettingsSource.AUTOCONFIG,
                "example.com/x",
                LookupOutcome.UNUSABLE,
                "10.0.0.1:993",
                ServerRefusal.NOT_PUBLIC,
                "imap",
            ),
            LookupStep(
                SettingsSource.AUTOCONFIG,
                "example.com/x",
                LookupOutcome.UNUSABLE,
                "a b:0",
                ServerRefusal.NONSENSE,
                "imap",
            ),
        ]
    )
    page = shown(administrator, f"{ADD}?lookup={lookup(person, found).pk}")
    assert "Nothing was found for ann@example.com" in page
    assert "names IMAP at imap.example.com:143 with STARTTLS only. It is not taken" in page
    assert "names SMTP at smtp.example.com:25 without TLS. It is not taken" in page
    assert "which does not exist or is not on the public Internet" in page
    assert "which is no server's address" in page
    assert page.count("take it from the provider's help page") == 2
    assert 'name="email" value="ann@example.com"' in page


def test_what_strangers_wrote_is_text_in_the_page(administrator: Client, person: User) -> None:
    hostile = "<script>alert(1)</script>"
    found = Discovery(steps=[LookupStep(SettingsSource.GUESS, hostile, LookupOutcome.NOTHING, hostile)])
    found.add(ServerSettings("imap", "imap.example.com", 993, "tls", hostile), SettingsSource.GUESS)
    found.steps.append(LookupStep(SettingsSource.GUESS, hostile, LookupOutcome.FOUND, kind="imap"))
    page = administrator.get(f"{ADD}?lookup={lookup(person, found).pk}").content.decode()
    assert hostile not in page
    assert "&lt;script&gt;" in page


def test_a_provider_may_still_be_chosen_and_the_address_stays(administrator: Client, person: User) -> None:
    page = shown(administrator, f"{ADD}?preset=gmail&lookup={lookup(person, found_by_srv()).pk}")
    assert 'name="imap_host" value="imap.gmail.com"' in page
    assert 'name="email" value="ann@example.com"' in page


def test_what_is_saved_is_what_the_person_confirmed_not_what_was_found(administrator: Client, person: User) -> None:
    row = lookup(person, found_by_srv())
    response = administrator.post(f"{ADD}?lookup={row.pk}", TYPED | {"imap_host": "mine.example.com"})
    account = Account.objects.get()
    assert response.url == reverse("connection_test", args=[ConnectionTest.objects.get(account=account).pk])
    assert (account.imap.host, account.smtp.port) == ("mine.example.com", 587)


def test_a_refused_form_still_says_what_was_found(administrator: Client, person: User) -> None:
    row = lookup(person, found_by_srv())
    page = administrator.post(f"{ADD}?lookup={row.pk}", TYPED | {"imap_password": ""}).content.decode()
    assert "_imaps._tcp.example.com" in page
    assert "Nothing was saved yet" in page


# --- On to the folders ------------------------------------------------------------------------------------------
def after_a_test(account: Account, **outcome: Any) -> str:
    now = timezone.now()
    test = ConnectionTest.objects.create(account=account, started_at=now, finished_at=now, **outcome)
    return reverse("connection_test", args=[test.pk])


def test_when_both_servers_work_choosing_folders_is_the_next_step(administrator: Client, account: Account) -> None:
    page = shown(administrator, after_a_test(account, imap_ok=True, smtp_ok=True))
    assert "Next: choose which folders are fetched" in page
    assert f'class="button primary" href="{reverse("mailbox:account_folders", args=[account.pk])}"' in page


def test_a_refused_secret_is_asked_for_again_first(administrator: Client, account: Account) -> None:
    page = shown(administrator, after_a_test(account, imap_ok=False, imap_code="sign_in", smtp_ok=True))
    sign_in = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    assert f'class="button small primary" href="{sign_in}"' in page
    assert "Next: choose" not in page


def test_folders_may_be_chosen_while_smtp_is_not_mended(administrator: Client, account: Account) -> None:
    page = shown(administrator, after_a_test(account, imap_ok=True, smtp_ok=False, smtp_code="network"))
    assert "Folders may be chosen meanwhile" in page


def test_the_chooser_waits_for_the_first_listing_and_then_shows_all_folders(
    administrator: Client, account: Account
) -> None:
    folder_of(account)
    url = reverse("mailbox:account_folders", args=[account.pk])
    page = administrator.get(url).content.decode()
    polled = html.unescape(page.partition("<main")[2].partition('hx-get="')[2].partition('"')[0])
    assert polled.endswith("&first=1")
    assert "HX-Refresh" not in administrator.get(polled, **HTMX)
    Account.objects.update(folders_listed_at=timezone.now())
    assert administrator.get(polled, **HTMX)["HX-Refresh"] == "true"
    assert "hx-get" not in administrator.get(url).content.decode().partition("<main")[2]


def test_keeping_just_the_inbox_ends_the_setting_up_too(administrator: Client, account: Account) -> None:
    inbox = folder_of(account)
    url = reverse("mailbox:account_folders", args=[account.pk])
    answer = administrator.post(url, {"shown": [inbox.pk], "folder": [inbox.pk]})
    assert answer.url == reverse("mailbox:account", args=[account.pk])
    assert AuditEntry.objects.filter(verb="choose_folders").exists()
    assert "Next: choose" not in shown(administrator, after_a_test(account, imap_ok=True, smtp_ok=True))
    again = administrator.post(url, {"shown": [inbox.pk], "folder": [inbox.pk]})
    assert again.url == url, "later on one stays with the folders"
    assert Folder.objects.get().sync_enabled


def test_an_account_of_yesterday_is_set_up(administrator: Client, account: Account) -> None:
    Account.objects.update(created_at=timezone.now() - timedelta(days=1, minutes=1))
    page = shown(administrator, after_a_test(account, imap_ok=True, smtp_ok=True))
    assert "Next: choose" not in page
    assert "Back to the account" in page
