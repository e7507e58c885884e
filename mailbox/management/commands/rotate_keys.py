"""manage.py rotate_keys: encrypt every stored secret again with the first of PRX_EMAIL_ENCRYPTION_KEYS.

It may be stopped at any time and run again: each secret is one UPDATE, and secrets that are encrypted with the first
key already are skipped.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailbox import credentials
from mailbox.accounts.stored_secrets import stored_secrets


class Command(BaseCommand):
    help = "Encrypt every stored secret again with the first key, so that older keys can be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        rotated, current, changed, lost = 0, 0, 0, []
        for secret in stored_secrets():
            try:
                if secret.is_current():
                    current += 1
                elif secret.rotate():
                    rotated += 1
                else:
                    changed += 1
            except credentials.DecryptionFailed:
                lost.append(secret.needs())
        self.stdout.write(f"{rotated} secrets were encrypted again; {current} were under the first key already.")
        if lost:
            raise CommandError(_what_is_lost(lost))
        if changed:
            raise CommandError(f"{changed} secrets were changed by somebody meanwhile: run this again.")


def _what_is_lost(needs: list[str]) -> str:
    lines = "\n".join(f"  {each}" for each in dict.fromkeys(needs))
    return (
        f"No key opens {len(needs)} secrets. Put the former key back into PRX_EMAIL_ENCRYPTION_KEYS and run this "
        f"again, or, if it is lost:\n{lines}"
    )
