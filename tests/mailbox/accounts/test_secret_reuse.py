"""A stored secret goes to no other server, whatever an administrator's session asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from mailbox.accounts import troubleshooting
from mailbox.accounts.secret_reuse import is_other_host
from mailbox.models import Account
from tests.mailbox.accounts.account_settings import settings_of
from tests.rows import NOWHERE

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
AGAIN = "so enter the password or token again"


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE, imap_password="old imap", smtp_password="old smtp")


def edited(client: Client, account: Account, **changes: str) -> str:
    """What the page says of these changes: "" when they were saved."""
    response = client.post(reverse("mailbox:account_edit", args=[account.pk]), settings_of(account, **changes))
    return "" if response.status_code == 302 else response.content.decode()


@pytest.mark.parametrize("kind", ["imap", "smtp"])
def test_another_host_asks_for_the_secret_again(administrator: Client, account: Account, kind: str) -> None:
    assert AGAIN in edited(administrator, account, **{f"{kind}_host": "evil.example"})
    assert getattr(Account.objects.get(), kind).host == "localhost"

    assert edited(administrator, account, **{f"{kind}_host": "new.example", f"{kind}_password": "typed"}) == ""
    changed = getattr(Account.objects.get(), kind)
    assert (changed.host, changed.password) == ("new.example", "typed")


def test_the_same_host_written_otherwise_asks_for_nothing(administrator: Client, account: Account) -> None:
    assert edited(administrator, account, imap_host="LOCALHOST") == ""
    assert Account.objects.get().imap.password == "old imap"
    assert is_other_host("a.example", "b.example") and not is_other_host("a.example", "A.example.")


def test_the_imap_secret_is_not_lent_to_another_smtp_host(administrator: Client, account: Account) -> None:
    assert AGAIN in edited(administrator, account, smtp_host="evil.example", smtp_same="on")
    assert Account.objects.get().smtp.host == "localhost"


def test_nor_in_two_steps_by_way_of_a_secret_of_ones_own(administrator: Client, account: Account) -> None:
    assert edited(administrator, account, smtp_host="evil.example", smtp_password="whatever") == ""
    account = Account.objects.get()
    page = edited(administrator, account, smtp_same="on")
    assert "a stored one goes to no other server" in page
    assert Account.objects.get().smtp.password == "whatever"


def test_two_transports_that_share_a_secret_may_go_on_sharing_it(administrator: Client, account: Account) -> None:
    account.smtp.password = "old imap"
    account.smtp.save()
    assert edited(administrator, account, smtp_same="on", display_name="Other") == ""
    assert Account.objects.get().smtp.password == "old imap"


def test_the_choice_of_the_copy_in_sent_is_kept(administrator: Client, account: Account) -> None:
    assert edited(administrator, account, sent_copy="never") == ""
    assert Account.objects.get().sent_copy == "never"
    assert "Select a valid choice" in edited(administrator, account, sent_copy="twice")


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        ("sign_in", "535 your certificate has expired, too many, see network", "Check the user name"),
        ("throttled", "421 password", "asked again by itself"),
        ("provider", "550 certificate", "Read the server's words"),
        ("network", "certificate verify failed", "Extra CA certificate"),
        ("network", "refused the connection; password", "Nothing listens on that port"),
        ("key", "", "former encryption key"),
        ("unexpected", "Unexpected KeyError: password", "workers' log"),
        ("", "535 authentication failed", "Check the user name"),
    ],
)
def test_advice_follows_what_happened_not_what_a_server_wrote(code: str, said: str, words: str) -> None:
    assert words in troubleshooting.about(code, said)
