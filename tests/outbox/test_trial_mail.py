"""“Send a test mail”: one click, through the ordinary outbox, once, refused in words while mail is held back."""

from __future__ import annotations

import html
import re
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

from mailbox.models import Account, AccountGrant, AuditEntry, Folder
from outbox.delivery import deliver
from outbox.models import OutboxMessage, SendingSwitch
from tests.rows import NOWHERE, letter, outbox_row, store, tasks_queued, workers_run
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
KEY = "a-key-of-a-form"
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def person(make_user: Callable[..., User]) -> User:
    return make_user("operator", "olga")


@pytest.fixture
def operator(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def address(account: Account) -> str:
    return reverse("test_mail", args=[account.pk])


def shown(client: Client, url: str) -> str:
    return html.unescape(client.get(url).content.decode())


def test_one_click_on_the_accounts_page_sends_to_the_account_itself(
    operator: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    page = operator.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    form = re.search(rf'action="{address(account)}">.*?name="key" value="([^"]+)"', page)
    assert form
    with django_capture_on_commit_callbacks(execute=True):
        response = operator.post(address(account), {"key": form[1]})
    row = OutboxMessage.objects.get()
    assert response.url == reverse("test_mail_sent", args=[row.pk])
    assert (row.to, row.status) == ("ops@example.com", "pending")
    assert "outbox.tasks.deliver" in tasks_queued()


def test_it_says_which_installation_and_account_it_is_from_who_asked_and_when(
    operator: Client, account: Account, settings: Any
) -> None:
    settings.BASE_URL = "https://mail.example.org"
    operator.post(address(account), {"key": KEY})
    row = OutboxMessage.objects.get()
    assert row.subject == "Test mail of ops@example.com from mail.example.org"
    for words in ("PRX-Email at https://mail.example.org", "ops@example.com by localhost:1", "Asked for by olga at 20"):
        assert words in row.body_text
    assert f"{timezone.now():%Y-%m-%d %H:}" in row.body_text


def test_it_goes_to_an_address_that_is_typed(operator: Client, account: Account, person: User) -> None:
    User.objects.filter(pk=person.pk).update(email="olga@example.org")
    assert '<option value="olga@example.org">' in shown(operator, address(account))
    operator.post(address(account), {"key": KEY, "to": "olga@example.org"})
    assert OutboxMessage.objects.get().to == "olga@example.org"


@pytest.mark.parametrize("to", ["nobody", "a@b.example, c@d.example", "a@b.example\r\nBcc: x@y.example"])
def test_what_is_no_one_address_is_refused(operator: Client, account: Account, to: str) -> None:
    page = operator.post(address(account), {"key": KEY, "to": to}).content.decode()
    assert "An e-mail address looks like" in page
    assert not OutboxMessage.objects.exists()


def test_two_presses_of_one_button_are_one_mail(operator: Client, account: Account) -> None:
    urls = {operator.post(address(account), {"key": KEY}).url for _ in range(2)}
    assert len(urls) == 1
    assert OutboxMessage.objects.count() == 1
    assert AuditEntry.objects.filter(verb="test_mail").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_presses_at_the_same_instant_are_one_mail(account: Account, person: User) -> None:
    barrier, urls = threading.Barrier(4), []

    def press() -> None:
        client = Client()
        client.force_login(person)
        barrier.wait()
        try:
            urls.append(client.post(address(account), {"key": KEY}).url)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = OutboxMessage.objects.get()
    assert urls == [reverse("test_mail_sent", args=[row.pk])] * 4


def test_another_button_is_another_mail(operator: Client, account: Account) -> None:
    operator.post(address(account), {"key": KEY})
    operator.post(address(account), {"key": KEY + "2"})
    operator.post(address(account), {"key": "<bad>"})
    assert OutboxMessage.objects.count() == 3


def test_it_is_kept_who_sent_it(operator: Client, account: Account, person: User) -> None:
    operator.post(address(account), {"key": KEY, "to": "ann@example.org"})
    entry = AuditEntry.objects.get(verb="test_mail")
    row = OutboxMessage.objects.get()
    assert (entry.user, entry.account, entry.target) == (person, account, f"outbox:{row.pk}")
    assert entry.detail == "ann@example.org"
    assert "sent a test mail" in shown(operator, reverse("mailbox:activity"))


# --- Refused ----------------------------------------------------------------------------------------------------
def switch_off(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(send_enabled=False)


def pause(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(sending_paused_at=timezone.now())


def pause_all(_account: Account) -> None:
    SendingSwitch.current()
    SendingSwitch.objects.update(paused_at=timezone.now())


def refuse_sign_in(account: Account) -> None:
    account.smtp.mark_needs_sign_in("535 5.7.8 no such secret", timezone.now())


@pytest.mark.parametrize(
    ("hold_back", "sentence", "button"),
    [
        (switch_off, "Sending is switched off for ops@example.com", "Edit account"),
        (pause, "Sending is paused for ops@example.com, so no test was sent", "Resume sending"),
        (pause_all, "All sending is paused, so no test was sent", "Send test mail"),
        (refuse_sign_in, "localhost refuses the sign-in of ops@example.com", "Sign in again"),
    ],
)
def test_while_mail_is_held_back_no_test_is_written_and_the_page_says_why(
    client: Client,
    account: Account,
    make_user: Callable[..., User],
    hold_back: Callable[[Account], None],
    sentence: str,
    button: str,
) -> None:
    client.force_login(make_user("administrator"))
    hold_back(account)
    page = html.unescape(client.post(address(account), {"key": KEY}).content.decode())
    assert sentence in page
    assert button in page
    assert not OutboxMessage.objects.exists()
    assert not AuditEntry.objects.exists()


def test_who_may_only_look_sends_nothing(client: Client, account: Account, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("viewer"))
    assert client.post(address(account), {"key": KEY}).status_code == 403
    page = shown(client, reverse("mailbox:account", args=[account.pk]))
    assert address(account) not in page
    other = make_user("")
    client.force_login(other)
    assert client.post(address(account), {"key": KEY}).status_code == 404
    AccountGrant.objects.create(user=other, account=account, role="operator")
    assert client.post(address(account), {"key": KEY}).status_code == 302


# --- Followed ---------------------------------------------------------------------------------------------------
def test_another_mail_is_not_followed_as_a_test(operator: Client, account: Account) -> None:
    assert operator.get(reverse("test_mail_sent", args=[outbox_row(account).pk])).status_code == 404


def followed(client: Client) -> tuple[int, str]:
    response = client.get(reverse("test_mail_sent", args=[OutboxMessage.objects.get().pk]), **HTMX)  # type: ignore[arg-type]
    return response.status_code, html.unescape(response.content.decode())


def test_it_is_followed_to_the_servers_own_words(
    operator: Client, make_account: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("tls")
    account = make_account("ops@example.com", imap_host="localhost", imap_port=1, smtp_host=server.host,
                           smtp_port=server.port, ca_certificate=server.ca_pem)  # fmt: skip
    operator.post(address(account), {"key": KEY, "to": "olga@example.org"})
    status, words = followed(operator)
    assert status == 200
    assert "It is on its way." in words
    deliver.deliver_one(OutboxMessage.objects.get().pk)
    status, words = followed(operator)
    assert status == 286, "the page stops asking"
    assert "The server has accepted it for every recipient" in words
    assert "250" in words
    assert reverse("outbox:detail", args=[OutboxMessage.objects.get().pk]) in words
    assert server.mails()[0].rcpt_tos == ["olga@example.org"]
    page = shown(operator, reverse("test_mail_sent", args=[OutboxMessage.objects.get().pk]))
    assert "Send another" in page
    assert "hx-get" not in page.partition("<main")[2]


def test_a_refusal_is_shown_in_the_servers_words(
    operator: Client, make_account: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("tls")
    server.refuse("RCPT", "550 5.1.1 There is nobody of that name")
    account = make_account("ops@example.com", imap_host="localhost", imap_port=1, smtp_host=server.host,
                           smtp_port=server.port, ca_certificate=server.ca_pem)  # fmt: skip
    operator.post(address(account), {"key": KEY})
    deliver.deliver_one(OutboxMessage.objects.get().pk)
    status, words = followed(operator)
    assert (status, "550 5.1.1 There is nobody of that name" in words) == (286, True)


def test_one_that_is_put_off_is_still_on_its_way(operator: Client, account: Account) -> None:
    workers_run()
    operator.post(address(account), {"key": KEY})
    deliver.deliver_one(OutboxMessage.objects.get().pk)  # nobody listens there
    status, words = followed(operator)
    assert status == 200
    assert "Next attempt" in words


@pytest.fixture
def sent(account: Account, operator: Client) -> OutboxMessage:
    """A test mail to the account itself that its server has taken."""
    operator.post(address(account), {"key": KEY})
    OutboxMessage.objects.update(status="sent", sent_at=timezone.now(), provider_message_id="<outbox-1-0@example.com>")
    return OutboxMessage.objects.get()


def test_to_the_account_itself_its_arrival_is_awaited_and_shown(
    operator: Client, account: Account, sent: OutboxMessage
) -> None:
    status, words = followed(operator)
    assert (status, "Its arrival in ops@example.com is awaited" in words) == (200, True)
    message = store(account, letter("Test", Message_ID="<outbox-1-0@example.com>"))
    status, words = followed(operator)
    assert (status, "It has arrived in ops@example.com." in words) == (286, True)
    assert reverse("mailbox:message", args=[message.pk]) in words


def test_our_own_copy_in_sent_is_no_arrival(operator: Client, account: Account, sent: OutboxMessage) -> None:
    store(account, letter("Test", Message_ID="<outbox-1-0@example.com>"), folder="Sent")
    Folder.objects.filter(name="Sent").update(special_use="\\Sent")
    assert "is awaited" in followed(operator)[1]


def test_after_two_minutes_it_says_that_nothing_came(operator: Client, sent: OutboxMessage) -> None:
    OutboxMessage.objects.update(sent_at=timezone.now() - timedelta(minutes=2, seconds=1))
    status, words = followed(operator)
    assert (status, "It has not been seen in ops@example.com" in words) == (286, True)


def test_of_a_mailbox_one_may_not_see_nothing_is_told(
    client: Client, sent: OutboxMessage, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    other = make_account("secret@example.com", **NOWHERE)
    OutboxMessage.objects.update(to="secret@example.com")
    store(other, letter("Test", Message_ID="<outbox-1-0@example.com>"))
    user = make_user("")
    AccountGrant.objects.create(user=user, account=sent.account, role="operator")
    client.force_login(user)
    status, words = followed(client)
    assert (status, "arrived" in words, "awaited" in words) == (286, False, False)
