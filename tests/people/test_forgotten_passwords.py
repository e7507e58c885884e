"""Forgotten passwords: a link by mail for whoever has the address, and the same answer for everybody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from people.models import PasswordRequest
from people.tasks import answer_password_requests
from tests.people.site_mails import (
    administrator,
    boss,
    choose,
    deliver_all,
    forget,
    sender,
    server,
    signs_in,
    vera,
)
from tests.servers.smtp import SmtpServer

__all__ = ["administrator", "boss", "sender", "server", "vera"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_a_forgotten_password_is_chosen_anew_by_a_link_in_a_mail(
    client: Client, vera: User, sender: Account, server: SmtpServer
) -> None:
    forget(client, " vera@EXAMPLE.test ")
    assert (answer_password_requests(), answer_password_requests()) == (1, 0)
    [link] = deliver_all(sender, server)
    assert [each.rcpt_tos for each in server.mails()] == [["Vera@example.test"]]
    choose(client, link)
    assert signs_in("vera")


def test_the_answer_is_the_same_and_costs_the_same_for_an_address_that_nobody_has(
    client: Client, vera: User, sender: Account, django_assert_num_queries: Any
) -> None:
    pages, costs = [], []
    for address in ("vera@example.test", "nobody@example.test"):
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as asked:
            answer = forget(Client(), address)
        costs.append([re.sub(r"'[^']*'|\d+", "", each["sql"]) for each in asked])
        pages.append(answer.content.decode().partition("<main")[2])
    assert pages[0] == pages[1] and "If somebody here has this address" in pages[0]
    assert costs[0] == costs[1]
    assert "auth_user" not in str(costs)


def test_who_gets_no_link_by_mail(client: Client, vera: User, boss: User, sender: Account, settings: Any) -> None:
    """A user with all rights, one switched off, one who comes by the sign-on alone. An invited one gets one."""
    for change in ({"is_superuser": True}, {"is_active": False}):
        User.objects.filter(pk=vera.pk).update(is_superuser=False, is_active=True)
        User.objects.filter(pk=vera.pk).update(**change)
        forget(client, vera.email)
        answer_password_requests()
    User.objects.filter(pk=vera.pk).update(is_superuser=False, is_active=True, password="!unusable")
    SocialAccount.objects.create(user=vera, provider="company", uid="1")
    forget(client, vera.email)
    answer_password_requests()
    assert not OutboxMessage.objects.exists()
    SocialAccount.objects.all().delete()  # an invited person who lost the invitation
    PasswordRequest.objects.all().delete()
    forget(client, vera.email)
    answer_password_requests()
    assert OutboxMessage.objects.count() == 1
    settings.LOCAL_PASSWORDS = False
    assert "your company" in client.get(reverse("password_forgotten")).content.decode()


def test_one_client_and_one_address_get_only_so_many(client: Client, vera: User, sender: Account) -> None:
    answers = [forget(client, "vera@example.test", REMOTE_ADDR="203.0.113.7").status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]
    assert forget(client, "nobody@example.test", REMOTE_ADDR="203.0.113.7").headers["Retry-After"] == "900"
    assert forget(client, "vera@example.test", REMOTE_ADDR="203.0.113.8").status_code == 200
    answer_password_requests()
    assert OutboxMessage.objects.count() == 3


def test_without_an_account_for_it_the_page_says_whom_to_ask(client: Client, vera: User) -> None:
    assert reverse("password_forgotten") in client.get(reverse("login")).content.decode()
    for answer in (client.get(reverse("password_forgotten")), forget(client, vera.email)):
        assert "An administrator can make a link for you" in answer.content.decode()
    assert not PasswordRequest.objects.exists()


def test_a_mail_that_waited_holds_no_link_for_whom_it_is_no_more(
    administrator: Client, vera: User, sender: Account, server: SmtpServer
) -> None:
    administrator.post(reverse("people:link", args=[vera.pk]), {"how": "mail"})
    User.objects.filter(pk=vera.pk).update(email="elsewhere@example.test")
    deliver.deliver_account(sender.pk)
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold) == ("failed", "permanent") and "another address meanwhile" in row.error
    assert not server.mails()
