"""manage.py add_account EMAIL ...: add an account from the command line; its secret is read from the environment."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import CommandError

from mailbox.accounts.create import TransportFields, create_account
from mailbox.accounts.secret_variables import NoSecret, secret_in
from mailbox.endpoints import default_smtp_security
from mailbox.management.base import RefusingCommand
from mailbox.models import Account

ONE_OF_BOTH = "Give exactly one of --password-env and --oauth-token-env."


class Command(RefusingCommand):
    help = "Add a mail account with its IMAP and SMTP server. The secret is read from an environment variable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--imap-host", required=True)
        parser.add_argument("--imap-port", type=int, required=True)
        parser.add_argument("--smtp-host", required=True)
        parser.add_argument("--smtp-port", type=int, required=True)
        parser.add_argument("--smtp-security", choices=["tls", "starttls"], help="default: tls on 465, else starttls")
        parser.add_argument("--user", help="the name to sign in with; default: the address")
        parser.add_argument("--display-name", default="")
        parser.add_argument("--password-env", metavar="VAR", help="the variable that holds the password")
        parser.add_argument("--oauth-token-env", metavar="VAR", help="the variable that holds the OAuth access token")
        parser.add_argument("--ca-file", metavar="PEM", help="extra CA certificate of a private server")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            account = _added(options)
        except CommandError as error:
            if not options["json"]:
                raise
            self.refuse(str(error), as_json=True)
        if options["json"]:
            made = {"account_id": account.pk, "email": account.email}
            self.print_json({"ok": True, "data": made, "error": None})
            return
        self.stdout.write(f"Added {account.email}. Fetch its mail: manage.py sync {account.email}")


def _added(options: dict[str, Any]) -> Account:
    password, token = _secret(options["password_env"]), _secret(options["oauth_token_env"])
    if (password is None) == (token is None):
        raise CommandError(ONE_OF_BOTH)
    user = options["email"] if options["user"] is None else options["user"]
    smtp_security = options["smtp_security"] or default_smtp_security(options["smtp_port"])
    try:
        return create_account(
            options["email"],
            TransportFields(options["imap_host"], options["imap_port"], user, "tls", password, token),
            TransportFields(options["smtp_host"], options["smtp_port"], user, smtp_security, password, token),
            display_name=options["display_name"],
            ca_certificate=_certificate(options["ca_file"]),
        )
    except ValidationError as error:
        raise CommandError(_sentences(error)) from error


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    try:
        return secret_in(variable)
    except NoSecret as error:
        raise CommandError(str(error)) from error


def _certificate(path: str | None) -> str:
    if path is None:
        return ""
    try:
        pem = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The CA certificate {path} cannot be read: {error}") from error
    if not pem.strip():
        raise CommandError(f"The CA certificate {path} is empty.")
    return pem


def _sentences(error: ValidationError) -> str:
    sentences = []
    for name, problems in error.message_dict.items():
        option = "" if name == NON_FIELD_ERRORS else f"{name.replace('_', ' ')}: "
        sentences += [f"{option}{problem}" for problem in problems]
    return " ".join(dict.fromkeys(sentences))
