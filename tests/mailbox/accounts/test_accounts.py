"""Making accounts: whole or not at all, and refused with sentences."""

from dataclasses import replace

import pytest
from django.core.exceptions import ValidationError

from mailbox.accounts.create import TransportFields, create_account
from mailbox.models import Account, Folder, Transport

pytestmark = pytest.mark.django_db
IMAP = TransportFields("imap.example.com", 993, "ann", password="one")
SMTP = TransportFields("smtp.example.com", 587, "ann", "starttls", oauth_token="two")


def test_an_account_is_saved_with_both_transports_and_its_inbox() -> None:
    account = create_account(" ann@example.com ", IMAP, SMTP, display_name="Ann")
    account = Account.objects.with_transports().get(pk=account.pk)
    assert (account.email, account.imap.password, account.smtp.oauth_token) == ("ann@example.com", "one", "two")
    assert (account.imap.oauth_token, account.smtp.password) == (None, None)
    assert Folder.objects.get(account=account).sync_enabled


@pytest.mark.parametrize(
    ("email", "imap", "smtp", "field", "sentence"),
    [
        ("nonsense", IMAP, SMTP, "email", "valid email"),
        ("a@example.com", replace(IMAP, host=" "), SMTP, "imap_host", "blank|host name"),
        ("a@example.com", replace(IMAP, user=""), SMTP, "imap_user", "blank"),
        ("a@example.com", IMAP, replace(SMTP, port=0), "smtp_port", "greater than"),
        ("a@example.com", IMAP, replace(SMTP, port=65536), "smtp_port", "less than"),
        ("a@example.com", replace(IMAP, oauth_token="x"), SMTP, "__all__", "exactly one"),
        ("a@example.com", replace(IMAP, password=None), SMTP, "__all__", "exactly one"),
        ("a@example.com", replace(IMAP, password=""), SMTP, "__all__", "exactly one"),
        ("a@example.com", replace(IMAP, security="starttls"), SMTP, "__all__", "TLS from the first byte"),
    ],
)
def test_bad_input_is_refused_by_field_and_nothing_is_saved(
    email: str, imap: TransportFields, smtp: TransportFields, field: str, sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence) as refusal:
        create_account(email, imap, smtp)
    assert field in refusal.value.message_dict
    assert not Account.objects.exists()
    assert not Transport.objects.exists()


def test_one_address_is_one_account_whatever_its_case() -> None:
    create_account("ann@example.com", IMAP, SMTP)
    with pytest.raises(ValidationError, match="exists already"):
        create_account("Ann@Example.com", IMAP, SMTP)
    assert Transport.objects.count() == 2
