"""The form of an invitation: address, name, role and accounts. For the page, the HTTP API and `manage.py invite`."""

from __future__ import annotations

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account
from mailbox.permissions import ROLES, Role
from people.links import invitations

MOST_ACCOUNTS = 200
TAKEN = _("Somebody here has this address already; the list of people shows who.")


class InviteForm(forms.Form):
    """Checks an invitation; `accounts` is empty for a role that holds for all accounts."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=150,
        help_text=_("It is also the name to sign in with."),
        widget=forms.EmailInput(attrs={"autofocus": True}),
    )
    full_name = forms.CharField(label=_("Name"), max_length=200, required=False)
    role = forms.ChoiceField(
        label=_("Role"),
        choices=[(role.value, role.label) for role in ROLES],
        initial=Role.VIEWER.value,
        help_text=_("Viewers read, operators also send, administrators also edit accounts and people."),
    )
    accounts = forms.CharField(
        label=_("For these accounts only"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("Their addresses, one a line. Empty: for all accounts, those to come as well."),
    )

    def clean_email(self) -> str:
        """The address as typed. Raises ValidationError if a user has it as name or address, whatever the case."""
        email = str(self.cleaned_data["email"]).replace("\x00", "")
        if User.objects.filter(email__iexact=email).exists() or User.objects.filter(username__iexact=email).exists():
            raise ValidationError(TAKEN)
        return email

    def clean_accounts(self) -> list[Account]:
        """The accounts of the typed addresses. Raises ValidationError for one that is none, and for more than
        MOST_ACCOUNTS."""
        asked = list(dict.fromkeys(str(self.cleaned_data["accounts"]).replace(",", " ").replace("\x00", "").split()))
        if len(asked) > MOST_ACCOUNTS:
            raise ValidationError(_("These are too many accounts: give a role for all of them instead."))
        found = {each.email.lower(): each for each in Account.objects.filter(_one_of(asked))} if asked else {}
        if missing := [each for each in asked if each.lower() not in found]:
            words = gettext("There is no account %(account)s.") % {"account": missing[0][:254]}
            raise ValidationError(words)
        return list(found.values())

    def create(self, by: User | None) -> User | None:
        """Create the invited user of a valid form; None, with the error at `email`, if a concurrent invitation took the
        address. `by` is None on the command line."""
        given = self.cleaned_data
        try:
            return invitations.create(by, given["email"], given["full_name"], given["role"], given["accounts"])
        except IntegrityError:
            self.add_error("email", TAKEN)
            return None


def _one_of(addresses: list[str]) -> Q:
    wanted = Q()
    for each in addresses:
        wanted |= Q(email__iexact=each)
    return wanted
