from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser
from django.utils import timezone

from api import tokens
from api.forms import TokenForm
from api.models import Scope, Token
from mailbox.management.base import RefusingCommand

TERMS = ("name", "scope", "account", "network", "per_minute", "days")


class Command(RefusingCommand):
    help = "Make a token for a program, which is printed once; list tokens with --list; end one with --end ID."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", nargs="?", metavar="USER", help="for whom the program works")
        parser.add_argument("--name", help="which program uses it; default: command line")
        parser.add_argument("--scope", action="append", choices=Scope.values, default=[], help="may be repeated")
        parser.add_argument("--account", action="append", default=[], metavar="EMAIL", help="default: all of the user")
        parser.add_argument("--network", action="append", default=[], metavar="CIDR", help="default: from everywhere")
        parser.add_argument("--per-minute", type=int, help="requests a minute; default: 600")
        parser.add_argument("--days", type=int, help="after how many days it ends; default: 90")
        parser.add_argument("--list", action="store_true", help="the tokens of USER, or of all")
        parser.add_argument("--end", type=int, metavar="ID")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["json"]
        if options["end"] is not None:
            self.refuse_together("--end", options, [*TERMS, "list"])
            if options["user"] is not None:
                self.refuse("USER does not go with --end.", as_json=as_json)
            self.end(options["end"], as_json=as_json)
        elif options["list"]:
            self.refuse_together("--list", options, TERMS)
            self.list(options["user"], as_json=as_json)
        else:
            self.make(options)

    def make(self, options: dict[str, Any]) -> None:
        as_json = options["json"]
        form = TokenForm(
            self.find_user(options["user"], as_json=as_json),
            {
                "name": "command line" if options["name"] is None else options["name"],
                "scopes": options["scope"],
                "accounts": "\n".join(options["account"]),
                "networks": ",".join(options["network"]),
                "per_minute": 600 if options["per_minute"] is None else options["per_minute"],
                "days": 90 if options["days"] is None else options["days"],
            },
        )
        if not form.is_valid():
            field, errors = next(iter(form.errors.items()))
            self.refuse(f"{field}: {errors[0]}", as_json=as_json)
        try:
            token, secret = tokens.make(form.user, form.terms(timezone.now()), by=None)
        except tokens.TokenRefused as error:
            self.refuse(str(error), as_json=as_json)
        self.say({**shown(token), "token": secret}, secret, as_json=as_json)

    def list(self, username: str | None, *, as_json: bool) -> None:
        rows = Token.objects.select_related("user").prefetch_related("accounts").order_by("pk")
        if username is not None:
            rows = rows.filter(user=self.find_user(username, as_json=as_json))
        found = [shown(token) for token in rows]
        lines = [f"{each['id']} {each['user']} {each['name']}: {', '.join(each['scopes'])}" for each in found]
        self.say(found, "\n".join(lines), as_json=as_json)

    def end(self, pk: int, *, as_json: bool) -> None:
        token = Token.objects.select_related("user").filter(pk=pk).first()
        if token is None:
            self.refuse(f"There is no token {pk}.", as_json=as_json)
        tokens.end(token, by=None)
        self.say({"id": pk}, f"Token {pk} was ended.", as_json=as_json)

    def find_user(self, username: str | None, *, as_json: bool) -> User:
        user = User.objects.filter(username=username or "", is_active=True).first()
        if user is None:
            self.refuse(f"There is no active user {username or ''}.".replace(" .", "."), as_json=as_json)
        return user

    def say(self, data: Any, words: str, *, as_json: bool) -> None:
        if as_json:
            self.print_json({"ok": True, "data": data, "error": None})
        else:
            self.stdout.write(words)


def shown(token: Token) -> dict[str, Any]:
    return {
        "id": token.pk,
        "user": token.user.get_username(),
        "name": token.name,
        "scopes": token.scopes,
        "accounts": None if token.all_accounts else [each.email for each in token.accounts.all()],
        "networks": token.networks,
        "per_minute": token.per_minute,
        "expires_at": token.expires_at.isoformat(),
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
    }
