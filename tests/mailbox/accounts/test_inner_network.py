"""An administrator of some accounts does not look around in the inner network by testing connections."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox import public_hosts, safe_http
from mailbox.accounts.secret_reuse import CA_CHANGED, PORT_CHANGED, SecretRecipient, why_other
from mailbox.endpoints import Endpoint
from mailbox.errors import NetworkError
from mailbox.imap.session import ImapSession
from mailbox.models import Account, AccountGrant
from outbox.delivery.database import complete
from outbox.delivery.timeouts import Times
from outbox.smtp.connection import SmtpFailure
from outbox.smtp.session import SmtpSession

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def save(client: Client, account: Account, **changes: Any) -> str:
    """Send the form of the account with these changes; the page, "" when it was saved."""
    fields = {
        "email": account.email,
        "imap_host": account.imap.host,
        "imap_port": account.imap.port,
        "imap_user": account.imap.user,
        "imap_password": "typed-again",
        "smtp_host": account.smtp.host,
        "smtp_port": account.smtp.port,
        "smtp_user": account.smtp.user,
        "smtp_password": "typed-again",
        "sent_copy": "automatic",
    }
    response = client.post(reverse("mailbox:account_edit", args=[account.pk]), fields | changes)
    return "" if response.status_code == 302 else response.content.decode()


@pytest.fixture
def some(client: Client, account: Account, make_user: Callable[..., User]) -> Client:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="administrator")
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "printer.local", "::1", "fd00::1", "127.1", "2130706433"]
)
def test_a_host_of_an_inner_network_is_refused_in_the_form(some: Client, account: Account, host: str) -> None:
    assert (
        "Only an administrator of all accounts may choose a host" in save(some, account, imap_host=host)
        or host[0] == "["
    )
    account.refresh_from_db()
    assert account.imap.host != host


@pytest.mark.parametrize(("field", "port"), [("imap_port", 22), ("imap_port", 6379), ("smtp_port", 80)])
def test_only_ports_of_mail_are_tried(some: Client, account: Account, field: str, port: int) -> None:
    assert "may choose another port than" in save(some, account, **{field: port, "imap_host": "imap.example.net"})


def test_an_administrator_of_all_accounts_chooses_any_server(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    assert save(client, account, imap_host="10.0.0.5", imap_port=1143) == ""
    account.imap.refresh_from_db()
    assert account.imap.private_host_allowed
    assert not account.imap_endpoint().public_only


def test_what_such_an_administrator_saved_is_judged_at_each_connection(some: Client, account: Account) -> None:
    changed = {"imap_host": "imap.example.net", "imap_port": 993, "smtp_host": "smtp.example.net", "smtp_port": 587}
    assert save(some, account, **changed) == ""
    account = Account.objects.select_related("imap", "smtp").get(pk=account.pk)
    assert account.imap_endpoint().public_only
    assert account.smtp_endpoint().public_only


def test_a_setting_allows_inner_networks(some: Client, account: Account, settings: Any) -> None:
    settings.ACCOUNT_ALLOW_PRIVATE = True
    assert save(some, account, imap_host="10.0.0.5", imap_port=993) == ""
    account = Account.objects.select_related("imap").get(pk=account.pk)
    assert not account.imap_endpoint().public_only


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def test_a_name_that_leads_inside_is_not_connected_to_by_any_protocol(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after DNS rebinding: the name was fine when it was saved."""
    port = listener.getsockname()[1]
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(public_hosts.socket, "getaddrinfo", lambda *_, **__: inside)
    endpoint = Endpoint("mail.example.net", port, "tls", "ann", password="secret", public_only=True)
    with pytest.raises(NetworkError, match="not on the public Internet"):
        ImapSession.open(endpoint, connect_timeout=2, command_timeout=2)
    with pytest.raises(SmtpFailure) as refused:
        complete(SmtpSession.open(endpoint, patience=Times.from_settings().patience))
    assert "not on the public Internet" in refused.value.fault.reply
    with pytest.raises(BlockingIOError):  # nobody came
        listener.accept()


def test_a_port_or_an_authority_is_another_server() -> None:
    before = SecretRecipient("mail.example.com", 993, "CA one")
    assert why_other(before, SecretRecipient("MAIL.example.com.", 993, "CA  one\n")) == ""
    assert why_other(before, SecretRecipient("mail.example.com", 143, "CA one")) == str(PORT_CHANGED)
    assert why_other(before, SecretRecipient("mail.example.com", 993, "CA two")) == str(CA_CHANGED)
    assert why_other(before, SecretRecipient("mail.example.com", 993)) == ""


def test_a_stored_secret_is_not_sent_to_another_port_of_the_host(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("administrator"))
    page = save(client, account, imap_port=1993, imap_password="")
    assert str(PORT_CHANGED) in page
    account.imap.refresh_from_db()
    assert account.imap.port != 1993


@pytest.mark.parametrize(
    "address",
    [
        *("168.63.129.16", "192.0.0.8", "192.0.0.9", "192.88.99.1"),
        *("2001::1", "2001:1ff::1", "3fff::1", "3fff:fff::1", "5f00::1", "64:ff9b::7f00:1"),
    ],
)
def test_registered_for_something_else_is_not_public(address: str) -> None:
    assert not safe_http.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "2001:4860:4860::8888"])
def test_hosts_of_the_internet_are_public(address: str) -> None:
    assert safe_http.is_public(ipaddress.ip_address(address))
