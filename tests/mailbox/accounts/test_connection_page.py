"""The page of a connection test against real servers: what they say, and what to do about it."""

from __future__ import annotations

import html
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, ConnectionTest, Message
from outbox import connection_test
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import Cluster

SIGN_IN = "Check the user name, and enter the password again."
HOST = "Check the host for typing mistakes"
PORT = "Nothing listens on that port."
CERTIFICATE = "paste the certificate of its authority"
TIMEOUT = "a firewall that drops packets looks just like this"
TLS = "Check port and security together"


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def page_after(client: Client, account: Account) -> str:
    """Press the button, do the worker's part here, look."""
    url = client.post(reverse("connection_test_start", args=[account.pk])).url
    connection_test.run(ConnectionTest.objects.get().pk)
    return html.unescape(client.get(url).content.decode())


@pytest.mark.django_db
def test_both_servers_answer_in_their_own_words(administrator: Client, make_account: Callable[..., Account]) -> None:
    page = page_after(administrator, make_account())
    assert page.count("The server accepted the user name and the password.") == 2
    assert "Logged in" in page


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"imap_password": "wrong", "smtp_password": "wrong"}, SIGN_IN),
    ({"imap_host": "nowhere.invalid", "smtp_host": "nowhere.invalid"}, HOST),
    ({"ca_certificate": ""}, CERTIFICATE),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("wrong", "advice"), WRONG)
def test_each_mistake_gets_its_advice_on_both_sides(
    administrator: Client, make_account: Callable[..., Account], wrong: dict[str, Any], advice: str
) -> None:
    page = page_after(administrator, make_account(**wrong))
    assert page.count(advice) == 2
    assert "wrong" not in page, "a secret is not shown, whatever a server echoes"


@pytest.mark.django_db
def test_a_wrong_port_gets_its_advice(
    administrator: Client, make_account: Callable[..., Account], closed_port: int
) -> None:
    page = page_after(administrator, make_account(imap_port=closed_port, smtp_port=closed_port))
    assert page.count(PORT) == 2


@pytest.mark.django_db
def test_tls_where_starttls_is_spoken_gets_its_advice(
    administrator: Client, make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = make_account(imap_port=dovecot.submission_port, smtp_security="tls")
    assert page_after(administrator, account).count(TLS) == 2


@pytest.mark.django_db
def test_a_server_that_never_answers_is_given_up_with_advice(
    administrator: Client, make_account: Callable[..., Account], deaf_port: int, settings: Any
) -> None:
    settings.CONNECT_TIMEOUT_SECONDS = settings.COMMAND_TIMEOUT_SECONDS = 1
    page = page_after(administrator, make_account(imap_port=deaf_port, smtp_port=deaf_port))
    assert page.count(TIMEOUT) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.long
def test_from_a_wrong_password_to_mail_in_the_list_by_clicks_alone(
    administrator: Client, make_account: Callable[..., Account], mail_user: str, dovecot: Dovecot, workers: Cluster
) -> None:
    """A worker tests; the page says what is wrong; a new secret mends it and brings the mail in."""
    dovecot.append(mail_user, "INBOX", b"Subject: Here at last\r\nFrom: ann@example.com\r\n\r\nHello\r\n")
    account = make_account(mail_user, imap_password="wrong", smtp_password="wrong")
    url = administrator.post(reverse("connection_test_start", args=[account.pk])).url
    wait_until(ConnectionTest.objects.filter(finished_at__isnull=False).exists, seconds=40, what="the test's end")
    page = html.unescape(administrator.get(url).content.decode())
    assert "AUTHENTICATIONFAILED" in page
    assert page.count(SIGN_IN) == 2
    assert "IMAP needs sign-in" in administrator.get(reverse("mailbox:accounts")).content.decode()

    sign_in = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    administrator.post(sign_in, {"password": dovecot.password, "both": "on"})
    wait_until(Message.objects.filter(subject="Here at last").exists, seconds=40, what="the mail")
    assert "needs sign-in" not in administrator.get(reverse("mailbox:accounts")).content.decode()
