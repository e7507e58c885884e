"""manage.py reload_auth EMAIL: store the access tokens that the environment has now.

The variables are PRX_EMAIL_IMAP_OAUTH_TOKEN and PRX_EMAIL_SMTP_OAUTH_TOKEN, each with ..._OAUTH_EXPIRES_AT (Unix
seconds) if that is known. A variable of the same name with _FILE names a file to read the value from instead.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from mailbox.management.base import RefusingCommand
from mailbox.models import Account
from mailbox.oauth import stored_from_outside

NAMES = {
    "imap": ("PRX_EMAIL_IMAP_OAUTH_TOKEN", "PRX_EMAIL_IMAP_OAUTH_EXPIRES_AT"),
    "smtp": ("PRX_EMAIL_SMTP_OAUTH_TOKEN", "PRX_EMAIL_SMTP_OAUTH_EXPIRES_AT"),
}


class Command(RefusingCommand):
    help = "Take an account's OAuth access tokens from PRX_EMAIL_IMAP_OAUTH_TOKEN and PRX_EMAIL_SMTP_OAUTH_TOKEN."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.with_transports().filter(email__iexact=options["email"]).first()
        if account is None:
            self.refuse(f"No account has the address {options['email']}.", as_json=False)
        try:
            tokens = {kind: token for kind, (name, _) in NAMES.items() if (token := said(name))}
            with transaction.atomic():
                for kind, token in tokens.items():
                    ends = said(NAMES[kind][1])
                    stored_from_outside.store_secret(
                        account, (kind,), token=token, ends=stored_from_outside.moment_of(ends) if ends else None
                    )
        except ValidationError as error:
            self.refuse(" ".join(error.messages), as_json=False)
        except OSError as error:
            self.refuse(f"A file that the environment names cannot be read: {error}", as_json=False)
        if not tokens:
            self.refuse("Neither PRX_EMAIL_IMAP_OAUTH_TOKEN nor PRX_EMAIL_SMTP_OAUTH_TOKEN is set.", as_json=False)
        self.stdout.write(f"Reloaded for {account.email}: {', '.join(tokens)}.")


def said(name: str) -> str:
    """The content of the file that NAME_FILE names, else the variable; "" when neither is set. Raises OSError."""
    path = os.environ.get(f"{name}_FILE")
    return (Path(path).read_text(encoding="utf-8") if path else os.environ.get(name, "")).strip()
