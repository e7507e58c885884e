"""Rotating the encryption keys: nothing is lost on the way, and the old key can go afterwards."""

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from alerts.models import AlertRule
from mailbox import credentials
from mailbox.accounts.stored_secrets import StoredSecret
from mailbox.models import Transport

pytestmark = pytest.mark.django_db
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def imap(secret: str, *, token: bool = False) -> Transport:
    transport = Transport(kind="imap", host="imap.example.com", port=993, user="ann")
    setattr(transport, "oauth_token" if token else "password", secret)
    transport.save()
    return transport


def test_after_rotation_the_new_key_alone_opens_passwords_and_tokens(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    password, token = imap("sesame"), imap("ya29.token", token=True)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    call_command("rotate_keys", stdout=StringIO())
    settings.ENCRYPTION_KEYS = [NEW]
    password.refresh_from_db()
    token.refresh_from_db()
    assert (password.password, token.oauth_token) == ("sesame", "ya29.token")


def test_a_secret_that_no_key_opens_is_named_and_kept_as_it_is(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    transport = imap("sesame")
    before = transport.encrypted_password
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CommandError, match=r"IMAP imap\.example\.com:993\): sign in again"):
        call_command("rotate_keys", stdout=StringIO())
    transport.refresh_from_db()
    assert transport.encrypted_password == before
    with pytest.raises(credentials.DecryptionFailed):
        _ = transport.password


def test_a_secret_changed_during_the_rotation_is_not_overwritten(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    stale = imap("old secret")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    fresh = Transport.objects.get(pk=stale.pk)
    fresh.password = "new secret"
    fresh.save()
    assert StoredSecret(stale, "encrypted_password", stale.encrypted_password or "").rotate() is False
    assert Transport.objects.get(pk=stale.pk).password == "new secret"


def test_the_secrets_of_webhooks_go_along(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    rule = AlertRule(channel="webhook", url="https://hooks.example.com/")
    rule.secret = "sesame of the webhook"
    rule.save()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    call_command("rotate_keys", stdout=StringIO())
    settings.ENCRYPTION_KEYS = [NEW]
    assert AlertRule.objects.get().secret == "sesame of the webhook"
