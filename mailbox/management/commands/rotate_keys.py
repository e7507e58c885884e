"""manage.py rotate_keys: encrypt every stored secret again with the first of PRX_EMAIL_ENCRYPTION_KEYS."""

from mailbox import credentials
from mailbox.models import Transport
from typing import Any

from django.core.management.base import BaseCommand, CommandError

SECRETS = ("encrypted_password", "encrypted_oauth_token")


def rotate_transport(transport: Transport) -> bool:
    """Encrypt this transport's secret with the first key; False when it changed meanwhile and is left alone.

    Raises credentials.DecryptionFailed. Conditional on the old ciphertext: a person may be saving a new secret now.
    """
    column = next(name for name in SECRETS if getattr(transport, name) is not None)
    old = getattr(transport, column)
    return Transport.objects.filter(pk=transport.pk, **{column: old}).update(**{column: credentials.rotate(old)}) == 1


class Command(BaseCommand):
    help = "Encrypt every stored secret again with the first key, so that older keys can be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        rotated, lost = 0, []
        for transport in Transport.objects.order_by("pk"):
            try:
                rotated += rotate_transport(transport)
            except credentials.DecryptionFailed:
                lost.append(str(transport))
        self.stdout.write(f"{rotated} secrets now use the first key.")
        if lost:
            raise CommandError(
                f"No key opens the secrets of: {', '.join(lost)}. Put the former key back into "
                "PRX_EMAIL_ENCRYPTION_KEYS and run this again, or enter these secrets again in the browser."
            )
