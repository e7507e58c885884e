"""manage.py set_secret EMAIL ...: store a new password or access token, read from an environment variable."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError

from mailbox.accounts.secret_variables import NoSecret, secret_in
from mailbox.management.base import RefusingCommand
from mailbox.models import Account
from mailbox.oauth import stored_from_outside


class Command(RefusingCommand):
    help = "Store a new password or OAuth access token of an account; running workers use it from now on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--transport", choices=sorted(stored_from_outside.KINDS), required=True)
        secret = parser.add_mutually_exclusive_group(required=True)
        secret.add_argument("--password-env", metavar="VAR", help="the variable that holds the password")
        secret.add_argument("--oauth-token-env", metavar="VAR", help="the variable that holds the OAuth access token")
        parser.add_argument("--expires-at", metavar="SECONDS", help="when the token ends, in Unix seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.with_transports().filter(email__iexact=options["email"]).first()
        if account is None:
            self.refuse(f"No account has the address {options['email']}.", as_json=False)
        name = options["password_env"] or options["oauth_token_env"]
        try:
            secret = secret_in(name)
        except NoSecret as error:
            self.refuse(str(error), as_json=False)
        is_token = bool(options["oauth_token_env"])
        if options["expires_at"] and not is_token:
            self.refuse("Only a token has an end: --expires-at goes with --oauth-token-env.", as_json=False)
        try:
            ends = stored_from_outside.moment_of(options["expires_at"]) if options["expires_at"] else None
            kinds = stored_from_outside.KINDS[options["transport"]]
            if is_token:
                stored_from_outside.store_secret(account, kinds, token=secret, ends=ends)
            else:
                stored_from_outside.store_secret(account, kinds, password=secret)
        except ValidationError as error:
            self.refuse(" ".join(error.messages), as_json=False)
        self.stdout.write(f"Stored for {account.email} ({', '.join(kinds)}).")
