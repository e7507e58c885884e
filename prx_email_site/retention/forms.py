"""The forms of the retention page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account, LegalHold, Message, RetentionRule
from prx_email_site.retention.kinds import KINDS

MEBIBYTE = 1024 * 1024
LONGEST_DAYS = 36_500
MOST = 100  # of rules, and of holds in force: the page lists all; SQLite allows 1,000 conditions, an address has six


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rule with its size in MiB."""

    larger_than_mb = forms.IntegerField(
        label=_("Only larger than, MiB"),
        min_value=1,
        max_value=1_000_000,
        required=False,
        help_text=_("Of mail alone."),
    )

    class Meta:
        model = RetentionRule
        fields = ["what", "days", "account", "folder"]
        labels = {
            "what": _("Remove"),
            "days": _("When older than, days"),
            "account": _("Account"),
            "folder": _("Folder"),
        }
        help_texts = {
            "folder": _(
                "Of received mail alone: what lies in folders of this name and nowhere else. None: in any folder."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["what"].choices = [("", _("Choose")), *RetentionRule.What.choices]  # type: ignore[attr-defined]
        self.fields["account"].queryset = Account.objects.order_by("email")  # type: ignore[attr-defined]
        self.fields["account"].empty_label = _("All accounts")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Check what the kind of rows allows: days, account, folder, size; and that there are fewer than MOST rules."""
        given = super().clean() or {}
        if self.instance.pk is None and RetentionRule.objects.count() >= MOST:
            raise forms.ValidationError(gettext("There are %(most)s rules: end one first.") % {"most": MOST})
        kind, days = KINDS.get(given.get("what", "")), given.get("days")
        if kind is None:
            return given
        if days is not None and not kind.least_days <= days <= LONGEST_DAYS:
            words = gettext("From %(least)s to %(most)s days.")
            self.add_error("days", words % {"least": kind.least_days, "most": LONGEST_DAYS})
        if given.get("account") and not kind.takes_account:
            self.add_error("account", gettext("A run is of many accounts: this rule has none."))
        if given.get("folder") and not kind.takes_folder:
            self.add_error("folder", gettext("Only received mail lies in folders."))
        if given.get("larger_than_mb") and not kind.size:
            self.add_error("larger_than_mb", gettext("Only mail has a size."))
        return given

    def rule(self) -> RetentionRule:
        """The rule as the form has it, not saved."""
        rule: RetentionRule = self.save(commit=False)
        given = self.cleaned_data.get("larger_than_mb")
        rule.larger_than = given * MEBIBYTE if given else None
        return rule


class HoldForm(forms.ModelForm):  # type: ignore[type-arg]
    """A legal hold on an account, an address or a message."""

    message_pk = forms.IntegerField(
        label=_("A message"),
        required=False,
        min_value=1,
        max_value=2**62,
        help_text=_("Its number, as its page has it in the address."),
    )

    class Meta:
        model = LegalHold
        fields = ["account", "address", "reason"]
        labels = {"address": _("An address"), "reason": _("Why")}
        help_texts = {"address": _("All mail from or to it, in every account.")}

    # A text field for the address, as a second list of a thousand accounts would make the page too large.
    account = forms.ModelChoiceField(
        Account.objects.all(),
        label=_("An account"),
        required=False,
        to_field_name="email",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Its address: all of its mail."),
        error_messages={"invalid_choice": _("There is no account of this address.")},
    )
    field_order = ["account", "address", "message_pk", "reason"]

    def clean_address(self) -> str:
        """The address in lower case; "" for none. Raises ValidationError."""
        address: str = self.cleaned_data["address"].strip().lower()
        if address and (address.count("@") != 1 or any(character.isspace() for character in address)):
            raise forms.ValidationError(gettext("Not an address."))
        return address

    def clean_message_pk(self) -> Message | None:
        """The message; None for none. Raises ValidationError if there is none with this number."""
        pk = self.cleaned_data["message_pk"]
        if pk is None:
            return None
        message = Message.objects.filter(pk=pk).first()
        if message is None:
            raise forms.ValidationError(gettext("There is no message with this number."))
        return message

    def clean(self) -> dict[str, Any]:
        """Check that exactly one of the three is named, and that fewer than MOST holds stand."""
        given = super().clean() or {}
        if LegalHold.objects.standing().count() >= MOST:
            raise forms.ValidationError(gettext("%(most)s holds stand: release one first.") % {"most": MOST})
        named = [given.get(name) for name in ("account", "address", "message_pk")]
        if not self.errors and sum(map(bool, named)) != 1:
            raise forms.ValidationError(gettext("Name one of the three: an account, an address or a message."))
        return given

    def hold(self) -> LegalHold:
        """The hold of a valid form, not saved."""
        hold: LegalHold = self.save(commit=False)
        hold.message = self.cleaned_data["message_pk"]
        return hold
