"""Encryption of stored secrets: Fernet (AES-128-CBC with HMAC-SHA256). The first key encrypts, every key decrypts."""

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class DecryptionFailed(Exception):
    """No key of PRX_EMAIL_ENCRYPTION_KEYS decrypts a secret: a key was lost, or the database came from elsewhere."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def malformed_keys() -> list[int]:
    """Which of PRX_EMAIL_ENCRYPTION_KEYS, from 1 on, are no Fernet keys (32 bytes in URL-safe base64)."""
    return [number for number, key in enumerate(settings.ENCRYPTION_KEYS, start=1) if not _is_key(key)]


def _is_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:  # binascii.Error is one
        return False
    return True


def _current() -> MultiFernet:
    return _fernet(tuple(settings.ENCRYPTION_KEYS))


def encrypt(secret: str | None) -> str | None:
    """Encrypt with the first key; None and "" mean "absent" and become None, so that NULL is the one absence."""
    return _current().encrypt(secret.encode()).decode("ascii") if secret else None


def decrypt(token: str | None) -> str | None:
    """Return the secret in clear; raises DecryptionFailed."""
    if token is None:
        return None
    try:
        return _current().decrypt(token.encode("ascii")).decode()
    except InvalidToken as error:
        raise DecryptionFailed(
            "No key in PRX_EMAIL_ENCRYPTION_KEYS opens this account's secret. "
            "Put the former key back, or enter the secret again."
        ) from error


def rotate(token: str) -> str:
    """Encrypt the same secret again with the first key; raises DecryptionFailed."""
    secret = decrypt(token)
    assert secret is not None
    return _current().encrypt(secret.encode()).decode("ascii")


def is_current(token: str) -> bool:
    """Whether the first key encrypted this."""
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(token.encode("ascii"))
    except InvalidToken:
        return False
    return True
