"""Secrets at rest: unreadable without a key, readable with any of them, and never shown by accident."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import IntegrityError, connection, transaction

from mailbox import credentials
from mailbox.models import Transport


def transport(**secrets: str | None) -> Transport:
    row = Transport(kind="imap", host="imap.example.com", port=993, user="ann")
    for name, secret in secrets.items():
        setattr(row, name, secret)
    return row


def test_any_key_opens_and_the_first_closes(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    token = credentials.encrypt("pässwört")
    assert token is not None
    settings.ENCRYPTION_KEYS = [new, old]
    assert credentials.decrypt(token) == "pässwört"
    rotated = credentials.rotate(token)
    settings.ENCRYPTION_KEYS = [new]
    assert credentials.decrypt(rotated) == "pässwört"
    with pytest.raises(credentials.DecryptionFailed, match="Put the former key back"):
        credentials.decrypt(token)


def test_absent_is_null_and_never_an_encrypted_empty_string() -> None:
    assert credentials.encrypt("") is None
    assert credentials.encrypt(None) is None
    assert credentials.decrypt(None) is None


@pytest.mark.django_db
def test_the_database_holds_no_secret_in_clear() -> None:
    row = transport(password="correct horse")
    row.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT encrypted_password FROM transports WHERE id = %s", [row.pk])
        assert "correct horse" not in cursor.fetchone()[0]
    assert Transport.objects.get(pk=row.pk).password == "correct horse"


def test_an_endpoint_shown_by_accident_shows_no_secret() -> None:
    shown = repr(transport(oauth_token="ya29.secret").endpoint())
    assert "ya29" not in shown


@pytest.mark.django_db
@pytest.mark.parametrize("secrets", [{}, {"password": "a", "oauth_token": "b"}, {"password": ""}])
def test_the_database_itself_refuses_both_and_neither(secrets: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        transport(**secrets).save()
