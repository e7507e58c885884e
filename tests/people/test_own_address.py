"""One's own address: confirmed at the new one, told to the former one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from people.links import tokens
from tests.people.site_mails import (
    administrator,
    boss,
    deliver_all,
    is_over,
    sender,
    server,
    texts,
    vera,
)
from tests.servers.smtp import SmtpServer

__all__ = ["administrator", "boss", "sender", "server", "vera"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def test_the_own_address_changes_once_it_is_confirmed_and_the_former_one_is_told(
    client: Client, vera: User, sender: Account, server: SmtpServer
) -> None:
    client.force_login(vera)
    client.post(reverse("email"), {"email": "new@example.test"})
    [link] = deliver_all(sender, server)
    assert User.objects.get(pk=vera.pk).email == "Vera@example.test"
    assert client.get(link).status_code == 200
    assert User.objects.get(pk=vera.pk).email == "Vera@example.test", "opening it is not confirming it"
    assert "Your address is now new@example.test" in client.post(link, follow=True).content.decode()
    assert User.objects.get(pk=vera.pk).email == "new@example.test"
    deliver.deliver_account(sender.pk)
    assert [each.rcpt_tos[0] for each in server.mails()] == ["new@example.test", "Vera@example.test"]
    assert "another address" in texts(server)[1] and is_over(client.post(link))


def test_a_confirmation_is_of_one_person_one_wish_and_an_hour(
    client: Client,
    vera: User,
    boss: User,
    sender: Account,
    server: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.force_login(vera)
    client.post(reverse("email"), {"email": "first@example.test"})
    [link] = deliver_all(sender, server)
    assert Client().get(link).headers["Location"].startswith(reverse("login"))
    other = Client()
    other.force_login(boss)
    assert is_over(other.post(link))
    with monkeypatch.context() as later:
        later.setattr(tokens.LinkTokens, "_now", lambda self: datetime.now() + timedelta(seconds=3605))
        assert is_over(client.post(link))
    client.post(reverse("email"), {"email": "second@example.test"})
    assert is_over(client.post(link))
    User.objects.filter(pk=boss.pk).update(email="SECOND@example.test")
    deliver.deliver_account(sender.pk)
    assert len(server.mails()) == 1, "whose address it is is told to nobody"


def test_nobody_sends_mails_to_strangers_without_end(client: Client, vera: User, sender: Account) -> None:
    client.force_login(vera)
    for number in range(6):
        page = client.post(reverse("email"), {"email": f"n{number}@example.test"}, follow=True).content.decode()
    assert "too many addresses today" in page and OutboxMessage.objects.count() == 5


def test_an_administrator_changes_name_and_address_and_the_former_address_is_told(
    administrator: Client, vera: User, boss: User, sender: Account, server: SmtpServer
) -> None:
    User.objects.filter(pk=boss.pk).update(email="boss@example.test")
    url = reverse("people:details", args=[vera.pk])
    refused = administrator.post(url, {"full_name": "Vera", "email": "BOSS@example.test"})
    assert "has this address already" in refused.content.decode()
    administrator.post(url, {"full_name": "Vera van Dam", "email": "v@example.test"})
    vera.refresh_from_db()
    assert (vera.first_name, vera.last_name, vera.email) == ("Vera", "van Dam", "v@example.test")
    deliver.deliver_account(sender.pk)
    assert [each.rcpt_tos[0] for each in server.mails()] == ["Vera@example.test"]
