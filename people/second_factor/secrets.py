"""Lists allauth's secrets of second factors for `rotate_keys` and for the check of lost keys."""

from __future__ import annotations

from collections.abc import Iterator

from mailbox.accounts import stored_secrets
from mailbox.accounts.stored_secrets import StoredSecret

KEYS = ("secret", "seed")  # keys in `data`: of an authenticator app, of recovery codes


def make_known() -> None:
    """Register these secrets with mailbox.accounts.stored_secrets; called by AppConfig.ready, harmless twice."""
    if secrets_of_factors not in stored_secrets.elsewhere:
        stored_secrets.elsewhere.append(secrets_of_factors)


def secrets_of_factors() -> Iterator[StoredSecret]:
    """The stored secrets of all factors; `needs` says what to do when the key is lost."""
    from allauth.mfa.models import Authenticator  # imported here, when the apps are loaded

    for row in Authenticator.objects.select_related("user").order_by("pk"):
        needs = f"{row.user.get_username()}: remove the second factor (manage.py remove_second_factor)"
        yield from (StoredSecret(row, "data", row.data[key], key, needs) for key in KEYS if key in row.data)
