"""manage.py feature: show and set the feature flags."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from mailbox import features
from mailbox.management.listing import ListingCommand
from mailbox.models import Account, AuditEntry, Feature


class Command(ListingCommand):
    help = "Show the features, or set one: feature email_send off | on | 25% | default, with --account for one account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("feature", nargs="?", metavar="NAME", help=", ".join(Feature))
        parser.add_argument(
            "value", nargs="?", metavar="VALUE", help="on, off, a share of accounts as in 25%%, or default"
        )
        parser.add_argument("--account", metavar="EMAIL", help="for this account alone; default: as for all")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, name, value = options["json"], options["feature"], options["value"]
        account = self.find_account(options["account"], as_json=as_json) if options["account"] else None
        if name is not None and name not in Feature:
            self.refuse(f"There is no feature {name}: one of {', '.join(Feature)}.", as_json=as_json)
        wanted = [Feature(name)] if name else list(Feature)
        if value is not None:
            self._change(wanted[0], account, self._percent(value, account, as_json=as_json))
        self._show(wanted, account, as_json=as_json)

    def _percent(self, value: str, account: Account | None, *, as_json: bool) -> int | None:
        if value in ("on", "off", "default"):
            return {"on": features.ALL, "off": features.NONE, "default": None}[value]
        number = value.removesuffix("%")
        if account or not (number.isascii() and number.isdecimal() and int(number[:4]) <= features.ALL):
            allowed = "on, off or default" if account else "on, off, default, or 0% to 100%"
            self.refuse(f"VALUE is {allowed}, not {value}.", as_json=as_json)
        return int(number)

    def _change(self, feature: Feature, account: Account | None, percent: int | None) -> None:
        with transaction.atomic():
            if features.change(feature, account, percent):
                detail = f"{feature.value}, {features.in_words(account, percent)}"
                AuditEntry.objects.create(
                    account=account, verb="edit_feature", target=f"feature:{feature.value}", detail=detail
                )

    def _show(self, wanted: list[Feature], account: Account | None, *, as_json: bool) -> None:
        found = features.Rollouts.read(*wanted)
        emails: dict[int, str] = dict(Account.objects.values_list("pk", "email"))
        rows = [_row(each, account, emails) for each in found.values()]
        if as_json:
            self.print_data(rows)
            return
        for row in rows:
            state = ("on" if row["on"] else "off") if account else f"{row['percent']} %"
            own = "".join(f", {email} {'on' if is_on else 'off'}" for email, is_on in row["accounts"].items())
            self.stdout.write(f"{row['feature']:<14} {state}{'' if account else own}")


def _row(each: features.Rollout, account: Account | None, emails: dict[int, str]) -> dict[str, Any]:
    own = {emails[pk]: is_on for pk, is_on in each.accounts.items() if pk in emails}
    row: dict[str, Any] = {"feature": each.feature.value, "percent": each.percent, "accounts": own}
    return row | ({"account": account.email, "on": each.is_on(account.pk)} if account else {})
