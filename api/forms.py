"""The form of a new token, for the page and the command. Each error is a sentence at its field."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from api.models import Scope
from api.tokens import Terms
from mailbox.models import Account
from mailbox.permissions import accounts_for

LONGEST_DAYS = 3650


class TokenForm(forms.Form):
    """The terms of a new token. user: the user it acts for; only accounts that this user may see can be named."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("Which program uses it, so that it is known later.")
    )
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Never more than you may yourself."),
        error_messages={"required": _("Tick what the program may do.")},
    )
    accounts = forms.CharField(
        label=_("Accounts"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Addresses, one a line. Empty: all that you may use, those added later included."),
    )
    networks = forms.CharField(
        label=_("Allowed networks"),
        required=False,
        max_length=2000,
        help_text=_("As 192.0.2.0/24 or 2001:db8::/32, separated by commas. Empty: from everywhere."),
    )
    per_minute = forms.IntegerField(label=_("Requests a minute"), min_value=1, max_value=100_000, initial=600)
    days = forms.IntegerField(label=_("Ends after days"), min_value=1, max_value=LONGEST_DAYS, initial=90)

    def __init__(self, user: User, data: Any = None) -> None:
        self.user = user
        super().__init__(data)

    def clean_accounts(self) -> list[Account] | None:
        """The named accounts; None for all accounts."""
        emails = {line.strip().casefold() for line in self.cleaned_data["accounts"].splitlines() if line.strip()}
        if not emails:
            return None
        found = [each for each in accounts_for(self.user) if each.email.casefold() in emails]
        missing = emails - {each.email.casefold() for each in found}
        if missing:
            raise forms.ValidationError(
                gettext("There is no account %(address)s that this user may see.") % {"address": min(missing)}
            )
        return found

    def clean_networks(self) -> list[str]:
        """The networks in CIDR notation; empty for everywhere. Raises ValidationError for one that is none."""
        found = []
        for given in self.cleaned_data["networks"].replace(",", " ").split():
            try:
                found.append(str(ipaddress.ip_network(given)))
            except ValueError:
                raise forms.ValidationError(
                    gettext("%(given)s is no network: write it as 192.0.2.0/24.") % {"given": given}
                ) from None
        return found

    def terms(self, now: datetime) -> Terms:
        """The terms in a valid form."""
        given = self.cleaned_data
        return Terms(
            name=given["name"],
            scopes=[Scope(each) for each in given["scopes"]],
            expires_at=now + timedelta(days=given["days"]),
            accounts=given["accounts"],
            networks=given["networks"],
            per_minute=given["per_minute"],
        )
