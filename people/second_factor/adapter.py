"""django-allauth's adapter for second factors: encrypts their secrets, and decides which factor may be removed."""

from __future__ import annotations

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator

from mailbox import credentials
from people.second_factor.requirement import KINDS, factors_of, is_required


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets are Fernet tokens in the column `data` of allauth's table; `rotate_keys` includes them."""

    def encrypt(self, text: str) -> str:
        """Encrypt a factor's secret with the current key; "" stays ""."""
        return credentials.encrypt(text) or ""

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt a factor's secret. Raises DecryptionFailed if its key is lost."""
        return credentials.decrypt(encrypted_text) or ""

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """False for the last app or passkey of a user who must have a second factor."""
        if authenticator.type not in KINDS or not is_required(authenticator.user):
            return True
        return factors_of(authenticator.user).exclude(pk=authenticator.pk).exists()
