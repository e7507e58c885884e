"""Adding an account from its address: looked up, filled in, confirmed; and the way on to its folders."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from datetime import timedelta
from mailbox import discovery, settings_lookup, tasks
from mailbox.discovered import Discovery, Flaw, Outcome, Server, Source, Step, to_json
from mailbox.models import Account, AuditEntry, ConnectionTest, Folder, SettingsLookup
from mailbox.settings_lookup import MOST
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.mailbox.account_settings import TYPED
from tests.mailbox.one_domain import BOTH, DOMAIN, EMAIL, Domain, domain
from tests.rows import NOWHERE, folder_of, tasks_queued

__all__ = ["domain"]
pytestmark = pytest.mark.django_db
ADD, FIND = "/accounts/add/", "/accounts/add/find/"
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def person(make_user: Callable[..., User]) -> User:
    return make_user("administrator")


@pytest.fixture
def administrator(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def shown(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def lookup(person: User, found: Discovery, email: str = "ann@example.com") -> SettingsLookup:
    """A look-up that a worker has done."""
    now = timezone.now()
    return SettingsLookup.objects.create(
        asked_by=person, email=email, started_at=now, finished_at=now, found=to_json(found)
    )


def found_by_srv() -> Discovery:
    found = Discovery()
    found.keep(Server("imap", "imap.example.com", 993, "tls", "ann"), Source.SRV)
    found.keep(Server("smtp", "mx.hoster.example", 2587, "starttls", "ann@example.com"), Source.SRV)
    found.steps += [
        Step(Source.AUTOCONFIG, "autoconfig.example.com/x", Outcome.FAILED, "The server answered 404."),
        Step(Source.SRV, "_imaps._tcp.example.com", Outcome.FOUND, "imap.example.com:993", kind="imap"),
        Step(Source.SRV, "_submission._tcp.example.com", Outcome.FOUND, "mx.hoster.example:2587", kind="smtp"),
    ]
    return found


# --- Asking -----------------------------------------------------------------------------------------------------
def test_adding_begins_with_the_address_or_a_provider(administrator: Client) -> None:
    page = shown(administrator, ADD)
    assert "Find the servers" in page
    assert "?preset=gmail" in page
    assert 'name="imap_host"' not in page


def test_a_worker_is_asked_and_nothing_else_is_done(administrator: Client, person: User) -> None:
    response = administrator.post(FIND, {"email": " ann@example.com "})
    row = SettingsLookup.objects.get()
    assert response.url == reverse("mailbox:account_found", args=[row.pk])
    assert (row.email, row.asked_by, row.finished_at) == ("ann@example.com", person, None)
    assert tasks_queued() == ["mailbox.tasks_lookup.look_up"]
    assert "Waiting for a worker" in shown(administrator, response.url)
    assert not Account.objects.exists()


def test_a_providers_own_domain_is_answered_at_once_without_a_worker(administrator: Client) -> None:
    response = administrator.post(FIND, {"email": "ann@hotmail.com"}, follow=True)
    page = html.unescape(response.content.decode())
    assert tasks_queued() == []
    assert 'value="outlook.office365.com"' in page
    assert "known settings of Outlook / Office 365, whose domain hotmail.com is" in page
    assert "Microsoft accepts only OAuth" in page
    assert page.count('value="ann@hotmail.com"') == 3


@pytest.mark.parametrize(
    ("typed", "words"), [("", "Give the e-mail address."), ("nobody", "looks like"), ("a@b\x00.example", "looks like")]
)
def test_what_is_no_address_is_refused_in_words(administrator: Client, typed: str, words: str) -> None:
    page = administrator.post(FIND, {"email": typed}).content.decode()
    assert words in page
    assert not SettingsLookup.objects.exists()


def test_a_second_click_finds_the_first_look_up(administrator: Client) -> None:
    urls = {administrator.post(FIND, {"email": "ann@example.com"}).url for _ in range(2)}
    assert len(urls) == 1
    assert tasks_queued() == ["mailbox.tasks_lookup.look_up"]


def test_one_person_may_look_up_so_many_and_another_still_may(
    administrator: Client, make_user: Callable[..., User]
) -> None:
    for number in range(MOST):
        administrator.post(FIND, {"email": f"ann@x{number}.example.com"})
    page = administrator.post(FIND, {"email": "ann@example.com"}).content.decode()
    assert f"You have looked up {MOST} addresses within ten minutes" in page
    assert SettingsLookup.objects.count() == MOST
    administrator.force_login(make_user("administrator"))
    assert administrator.post(FIND, {"email": "ann@example.com"}).status_code == 302
    SettingsLookup.objects.update(asked_at=timezone.now() - timedelta(minutes=11))


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_do_not_pass_the_limit_together(person: User) -> None:
    for number in range(MOST - 1):
        settings_lookup.ask(person.pk, f"ann@x{number}.example.com", now=timezone.now())
    refused: list[int] = []

    def ask(number: int) -> None:
        try:
            settings_lookup.ask(person.pk, f"ann@y{number}.example.com", now=timezone.now())
        except settings_lookup.TooMany:
            refused.append(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (SettingsLookup.objects.count(), len(refused)) == (MOST, 3)


# --- Who may ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["", "viewer", "operator"])
def test_only_who_may_add_accounts_may_look_up(client: Client, make_user: Callable[..., User], role: str) -> None:
    user = make_user(role)
    client.force_login(user)
    assert client.post(FIND, {"email": "ann@example.com"}).status_code == 403
    assert client.get(ADD).status_code == 403
    row = lookup(user, found_by_srv())  # from when they still might
    assert client.get(reverse("mailbox:account_found", args=[row.pk])).status_code == 403
    assert client.get(f"{ADD}?lookup={row.pk}").status_code == 403


def test_a_look_up_is_shown_to_who_asked_for_it_and_to_nobody_else(
    administrator: Client, make_user: Callable[..., User]
) -> None:
    row = lookup(make_user("administrator"), found_by_srv())
    assert administrator.get(reverse("mailbox:account_found", args=[row.pk])).status_code == 404
    assert administrator.get(f"{ADD}?lookup={row.pk}").status_code == 404


def test_a_look_up_cannot_be_asked_for_by_get(administrator: Client) -> None:
    assert administrator.get(FIND).status_code == 405


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
            Step(Source.SRV, "_imap._tcp.example.com", Outcome.UNUSABLE, "imap.example.com:143", Flaw.STARTTLS, "imap"),
            Step(Source.AUTOCONFIG, "example.com/x", Outcome.UNUSABLE, "smtp.example.com:25", Flaw.PLAIN, "smtp"),
            Step(Source.AUTOCONFIG, "example.com/x", Outcome.UNUSABLE, "10.0.0.1:993", Flaw.NOT_PUBLIC, "imap"),
            Step(Source.AUTOCONFIG, "example.com/x", Outcome.UNUSABLE, "a b:0", Flaw.NONSENSE, "imap"),
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
    found = Discovery(steps=[Step(Source.GUESS, hostile, Outcome.NOTHING, hostile)])
    found.keep(Server("imap", "imap.example.com", 993, "tls", hostile), Source.GUESS)
    found.steps.append(Step(Source.GUESS, hostile, Outcome.FOUND, kind="imap"))
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


# --- Waiting ----------------------------------------------------------------------------------------------------
def test_the_page_waits_and_then_leads_to_the_form(administrator: Client, person: User) -> None:
    row = SettingsLookup.objects.create(asked_by=person, email="ann@example.com", started_at=timezone.now())
    url = reverse("mailbox:account_found", args=[row.pk])
    assert "Reload" in shown(administrator, url)
    assert administrator.get(url, **HTMX).status_code == 200
    assert f"{ADD}?lookup={row.pk}" not in shown(administrator, url)
    assert "Find the servers" in shown(administrator, f"{ADD}?lookup={row.pk}"), "no form before it is done"
    SettingsLookup.objects.update(finished_at=timezone.now())
    assert administrator.get(url).url == f"{ADD}?lookup={row.pk}"
    assert administrator.get(url, **HTMX)["HX-Redirect"] == f"{ADD}?lookup={row.pk}"


def test_after_two_minutes_it_says_so_and_stops_asking(administrator: Client, person: User) -> None:
    long_ago = timezone.now() - timedelta(minutes=3)
    row = SettingsLookup.objects.create(asked_by=person, email="ann@example.com", asked_at=long_ago)
    url = reverse("mailbox:account_found", args=[row.pk])
    assert "No worker took this up" in shown(administrator, url)
    assert administrator.get(url, **HTMX).status_code == 286
    assert administrator.post(FIND, {"email": "ann@example.com"}).url != url, "a new one is made"


# --- The worker's part ------------------------------------------------------------------------------------------
def test_a_worker_looks_once_and_keeps_what_came_out(person: User, domain: Domain) -> None:
    domain.publishes(BOTH)
    row, is_new = settings_lookup.ask(person.pk, EMAIL, now=timezone.now())
    assert is_new
    settings_lookup.run(row.pk, domain.reach())
    settings_lookup.run(row.pk, domain.reach())
    row.refresh_from_db()
    assert settings_lookup.found_by(row).sources == {"imap": Source.AUTOCONFIG, "smtp": Source.AUTOCONFIG}
    assert row.finished_at
    assert len(domain.is_asked_on_the_web) == 1


def test_a_fault_of_ours_ends_the_waiting(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """No real server makes our own code fail."""

    def fail(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(discovery, "discover", fail)
    row, _is_new = settings_lookup.ask(person.pk, EMAIL, now=timezone.now())
    settings_lookup.run(row.pk)
    row.refresh_from_db()
    assert row.finished_at
    assert settings_lookup.found_by(row) == Discovery()


def test_outside_of_tests_only_public_hosts_are_asked_unless_a_setting_allows_others(settings: Any) -> None:
    import ipaddress

    inner = ipaddress.ip_address("10.0.0.1")
    assert not settings_lookup.reach().network.is_allowed(inner)
    settings.LOOKUP_ALLOW_PRIVATE = True
    assert settings_lookup.reach().network.is_allowed(inner)


def test_look_ups_are_forgotten_after_a_day(person: User) -> None:
    old = SettingsLookup.objects.create(
        asked_by=person, email=EMAIL, asked_at=timezone.now() - timedelta(days=1, minutes=1)
    )
    young = SettingsLookup.objects.create(asked_by=person, email=f"b@{DOMAIN}")
    tasks.prune()
    assert list(SettingsLookup.objects.all()) == [young]
    assert old.pk


# --- On to the folders ------------------------------------------------------------------------------------------
@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


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
    polled = html.unescape(page.partition('hx-get="')[2].partition('"')[0])
    assert polled.endswith("&first=1")
    assert "HX-Redirect" not in administrator.get(polled, **HTMX)
    Account.objects.update(folders_listed_at=timezone.now())
    assert administrator.get(polled, **HTMX)["HX-Redirect"] == url
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
