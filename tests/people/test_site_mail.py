"""The account that sends the site's own mails: never fetched, chosen by administrators of all accounts."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.permissions import Role, accounts_for
from mailbox.views.accounts.account_permissions import Rights
from people.links import site_mail
from tests.people.site_mails import (
    administrator,
    boss,
    sender,
    server,
    vera,
)
from tests.rows import NOWHERE

__all__ = ["administrator", "boss", "sender", "server", "vera"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_the_chosen_account_is_not_fetched_by_any_way(
    administrator: Client, make_account: Callable[..., Account]
) -> None:
    account = make_account("no-reply@example.com", **NOWHERE)
    page = administrator.post(reverse("people:site_mail"), {"account": "NO-reply@example.com"}, follow=True)
    assert "is no longer fetched" in page.content.decode()
    account.refresh_from_db()
    assert (account.sends_site_mail, account.sync_enabled) == (True, False)
    said = administrator.post(reverse("mailbox:account_fetching", args=[account.pk]), {"on": "1"}, follow=True)
    assert "so its mail is not fetched" in said.content.decode()
    edited = {"email": account.email, "imap_host": "localhost", "imap_port": 1, "imap_user": "u", "smtp_same": "on"}
    edited |= {"smtp_host": "localhost", "smtp_port": 1, "sync_enabled": "on", "send_enabled": "on"}
    said = administrator.post(reverse("mailbox:account_edit", args=[account.pk]), edited)
    assert "so its mail is not fetched" in said.content.decode()
    account.refresh_from_db()
    assert not account.sync_enabled
    administrator.post(reverse("people:site_mail"), {"account": ""})
    account.refresh_from_db()
    assert not account.sends_site_mail
    verbs = list(AuditEntry.objects.filter(account=account).order_by("pk").values_list("verb", flat=True))
    assert verbs == ["fetching_off", "site_mail_on", "site_mail_off"]


def test_a_sync_that_somebody_asks_for_reads_nothing_of_it(make_account: Callable[..., Account]) -> None:
    account = make_account("no-reply@example.test")  # on the real Dovecot
    site_mail.choose(None, account)
    with pytest.raises(SystemExit):
        call_command("sync", account.email, folder="INBOX", stdout=(said := StringIO()), stderr=(wrong := StringIO()))
    assert "its mail is not fetched" in wrong.getvalue() + said.getvalue()


def test_one_account_sends_them_and_only_administrators_of_all_accounts_change_it(
    client: Client, make_account: Callable[..., Account], make_user: Callable[..., User], boss: User
) -> None:
    first, second = make_account("a@example.com", **NOWHERE), make_account("b@example.com", **NOWHERE)
    local = make_user("", "local")
    AccountGrant.objects.create(user=local, account=first, role=Role.ADMINISTRATOR)
    assert accounts_for(local, Role.ADMINISTRATOR).exists()
    site_mail.choose(boss, first)
    assert not accounts_for(local, Role.ADMINISTRATOR).exists() and accounts_for(local).exists()
    client.force_login(local)
    rights = Rights.of(local)
    assert (rights.may_operate(first.pk), rights.may_administer(first.pk)) == (True, False)
    page = client.get(reverse("mailbox:account", args=[first.pk])).content.decode()
    assert "Delete account" not in page
    site_mail.choose(boss, second)
    assert site_mail.sender() == second and accounts_for(local, Role.ADMINISTRATOR).exists()
    Account.objects.filter(pk=second.pk).update(send_enabled=False)
    assert site_mail.sender() is None
