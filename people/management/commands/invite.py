"""manage.py invite EMAIL --role ROLE: invite a colleague, as the page "Add a colleague" does."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from mailbox.management.base import RefusingCommand
from mailbox.models import AuditEntry
from mailbox.permissions import ROLES
from people.directory.invite_form import InviteForm
from people.links import mails, tokens
from people.links.tokens import LASTS, LinkPurpose
from people.sign_in import audit


class Command(RefusingCommand):
    help = "Invite a colleague by mail; the link is printed, once, where no account sends the site's own mails."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="also the name to sign in with")
        parser.add_argument("--role", choices=[role.value for role in ROLES], required=True)
        parser.add_argument("--account", action="append", default=[], metavar="EMAIL", help="default: all accounts")
        parser.add_argument("--name", default="", help="the colleague's name")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        user = self._invited(options)
        is_mailed = mails.invite(user, None)
        link = None if is_mailed else _link(user)
        if options["json"]:
            data = {"user_id": user.pk, "user": user.get_username(), "is_mailed": is_mailed, "link": link}
            self.print_json({"ok": True, "data": data, "error": None})
        elif is_mailed:
            self.stdout.write(f"An invitation is on its way to {user.email}.")
        else:
            days = LASTS[LinkPurpose.INVITATION].days
            self.stderr.write(f"No mail was sent: pass this link to {user.email}. It is good once, for {days} days.")
            self.stdout.write(str(link))

    def _invited(self, options: dict[str, Any]) -> User:
        as_json = options["json"]
        if not settings.LOCAL_PASSWORDS:
            self.refuse("Passwords are switched off here: people sign in by the company's sign-on.", as_json=as_json)
        form = InviteForm(
            {
                "email": options["email"],
                "full_name": options["name"],
                "role": options["role"],
                "accounts": "\n".join(options["account"]),
            }
        )
        user = form.create(None) if form.is_valid() else None
        if user is None:
            field, errors = next(iter(form.errors.items()))
            self.refuse(f"{field}: {errors[0]}", as_json=as_json)
        return user


def _link(user: User) -> str:
    AuditEntry.objects.create(verb="copy_link", target=audit.target_of(user), detail=f"{user.get_username()}, printed")
    return tokens.link_for(user, LinkPurpose.INVITATION)
