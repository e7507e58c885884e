"""manage.py oauth_login EMAIL: sign an account in at its provider from a machine without a browser."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from mailbox.credentials import DecryptionFailed
from mailbox.errors import MailError
from mailbox.management.base import RefusingCommand
from mailbox.models import Account, OAuthApp, OAuthGrant
from mailbox.oauth import apps, device

FLOWS = {"application": OAuthGrant.Flow.APPLICATION, "service-account": OAuthGrant.Flow.SERVICE_ACCOUNT}


class Command(RefusingCommand):
    help = "Sign an account in at its OAuth provider by a code that you type in a browser elsewhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--provider", metavar="NAME", help="google, microsoft, yahoo, or the name of another")
        parser.add_argument("--shared", action="store_true", help="a shared mailbox: another person signs in")
        parser.add_argument(
            "--by",
            choices=["person", *FLOWS],
            default="person",
            help="application: client credentials; service-account: Google Workspace's; nobody signs in then",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.with_transports().filter(email__iexact=options["email"]).first()
        if account is None:
            self.refuse(f"No account has the address {options['email']}.", as_json=False)
        app = _app(account, options["provider"])
        if app is None:
            self.refuse("No provider is set up for this address; name one with --provider.", as_json=False)
        if options["by"] != "person":
            self.refuse_together(f"--by {options['by']}: nobody signs in", options, ["shared"])
        try:
            if options["by"] == "person":
                self._by_person(account, app, is_shared=options["shared"])
            else:
                device.direct_grant(account, app, FLOWS[options["by"]])
        except (MailError, DecryptionFailed) as error:
            self.refuse(str(error), as_json=False)
        self.stdout.write(f"{account.email} is signed in.")

    def _by_person(self, account: Account, app: OAuthApp, *, is_shared: bool) -> None:
        code = device.ask_for_code(app)
        self.stdout.write(f"Open {code.verification_uri} in a browser and type the code {code.user_code}")
        self.stdout.flush()
        device.sign_in(account, app, device.wait_for_tokens(app, code), is_shared=is_shared)


def _app(account: Account, name: str | None) -> OAuthApp | None:
    if name is None:
        return apps.app_for(account.email, account.imap.host, account.smtp.host)
    every = list(OAuthApp.objects.order_by("pk"))
    return next((each for each in every if name.lower() in (each.kind, each.name.lower())), None)
