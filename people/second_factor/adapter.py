"""What django-allauth asks this site about second factors: how secrets are kept, and which factor may be removed."""

from __future__ import annotations

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator

from mailbox import credentials
from people.second_factor.requirement import KINDS, factors_of, is_required


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets are in the column `data` of allauth's table, as Fernet tokens: `rotate_keys` knows them."""

    def encrypt(self, text: str) -> str:
        return credentials.encrypt(text) or ""

    def decrypt(self, encrypted_text: str) -> str:
        return credentials.decrypt(encrypted_text) or ""

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        if authenticator.type not in KINDS or not is_required(authenticator.user):
            return True
        return factors_of(authenticator.user).exclude(pk=authenticator.pk).exists()
