"""manage.py rotate_keys: encrypt every stored secret again with the first of PRX_EMAIL_ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model

from mailbox import credentials
from mailbox.accounts.stored_secrets import stored_secrets
from mailbox.models import Transport

SECRETS = ("encrypted_password", "encrypted_oauth_token")


def rotate_row(row: Model, column: str) -> bool:
    """Encrypt this secret with the first key; False when it changed meanwhile and is left alone.

    Raises credentials.DecryptionFailed. Conditional on the old ciphertext: a person may be saving a new secret now.
    """
    rows, old = type(row)._base_manager, getattr(row, column)
    return rows.filter(pk=row.pk, **{column: old}).update(**{column: credentials.rotate(old)}) == 1


def rotate_transport(transport: Transport) -> bool:
    return rotate_row(transport, next(name for name in SECRETS if getattr(transport, name) is not None))


class Command(BaseCommand):
    help = "Encrypt every stored secret again with the first key, so that older keys can be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        rotated, lost = 0, []
        for row, column in stored_secrets():
            try:
                rotated += rotate_row(row, column)
            except credentials.DecryptionFailed:
                lost.append(str(row))
        self.stdout.write(f"{rotated} secrets now use the first key.")
        if lost:
            raise CommandError(
                f"No key opens the secrets of: {', '.join(lost)}. Put the former key back into "
                "PRX_EMAIL_ENCRYPTION_KEYS and run this again, or enter these secrets again in the browser."
            )
