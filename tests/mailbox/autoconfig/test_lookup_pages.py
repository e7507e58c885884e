"""Finding an account's servers from its address: who may ask, what a worker does, and the page that waits for it."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.autoconfig import discover
from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.autoconfig.lookup import MOST
from mailbox.autoconfig.servers import Discovery, SettingsSource
from mailbox.models import Account, SettingsLookup
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.autoconfig.lookups import ADD, FIND, HTMX, administrator, found_by_srv, lookup, person, shown
from tests.mailbox.autoconfig.one_domain import BOTH, DOMAIN, EMAIL, Domain, domain
from tests.rows import looked_yesterday, tasks_queued

__all__ = ["administrator", "domain", "person"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


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
    assert tasks_queued() == ["mailbox.tasks.look_up"]
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
    assert tasks_queued() == ["mailbox.tasks.look_up"]


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
        autoconfig_lookup.ask(person.pk, f"ann@x{number}.example.com", now=timezone.now())
    refused: list[int] = []

    def ask(number: int) -> None:
        try:
            autoconfig_lookup.ask(person.pk, f"ann@y{number}.example.com", now=timezone.now())
        except autoconfig_lookup.TooManyLookups:
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
    row, is_new = autoconfig_lookup.ask(person.pk, EMAIL, now=timezone.now())
    assert is_new
    autoconfig_lookup.run(row.pk, domain.reach())
    autoconfig_lookup.run(row.pk, domain.reach())
    row.refresh_from_db()
    assert autoconfig_lookup.found_by(row).sources == {
        "imap": SettingsSource.AUTOCONFIG,
        "smtp": SettingsSource.AUTOCONFIG,
    }
    assert row.finished_at
    assert len(domain.is_asked_on_the_web) == 1


def test_a_fault_of_ours_ends_the_waiting(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """No real server makes our own code fail."""

    def fail(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(discover, "discover", fail)
    row, _is_new = autoconfig_lookup.ask(person.pk, EMAIL, now=timezone.now())
    autoconfig_lookup.run(row.pk)
    row.refresh_from_db()
    assert row.finished_at
    assert autoconfig_lookup.found_by(row) == Discovery()


def test_outside_of_tests_only_public_hosts_are_asked_unless_a_setting_allows_others(settings: Any) -> None:
    import ipaddress

    inner = ipaddress.ip_address("10.0.0.1")
    assert not autoconfig_lookup.reach().network.is_allowed(inner)
    settings.LOOKUP_ALLOW_PRIVATE = True
    assert autoconfig_lookup.reach().network.is_allowed(inner)


def test_look_ups_are_forgotten_after_a_day(person: User) -> None:
    old = SettingsLookup.objects.create(
        asked_by=person, email=EMAIL, asked_at=timezone.now() - timedelta(days=1, minutes=1)
    )
    young = SettingsLookup.objects.create(asked_by=person, email=f"b@{DOMAIN}")
    looked_yesterday()
    sync_tasks.prune()
    assert list(SettingsLookup.objects.all()) == [young]
    assert old.pk
