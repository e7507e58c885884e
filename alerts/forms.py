"""The form of an alert rule."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.validators import validate_email
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from alerts.models import AlertRule, Channel, Kind
from mailbox.models import Account

LEAST_SECRET = 16  # characters


def new_secret() -> str:
    """A random secret for the webhook of a new rule."""
    return secrets.token_urlsafe(24)


class AlertForm(forms.Form):
    """A new alert rule, or `rule` to edit. A stored secret is never shown."""

    channel = forms.ChoiceField(
        label=_("Notified by"), choices=[(Channel.MAIL, _("Mail")), (Channel.WEBHOOK, _("Webhook"))]
    )
    user = forms.ModelChoiceField(
        User.objects.filter(is_active=True).order_by("username"),
        label=_("Mail to a user"),
        required=False,
        empty_label=_("nobody of this site"),
        help_text=_("At the address that the user has when it is told."),
    )
    address = forms.CharField(
        label=_("Or mail to an address"), required=False, max_length=320, validators=[validate_email]
    )
    sender = forms.ModelChoiceField(
        Account.objects.order_by("email"), label=_("Mail from the account"), required=False, empty_label=_("choose one")
    )
    url = forms.CharField(
        label=_("Webhook address"), required=False, max_length=2000, widget=forms.TextInput(attrs={"dir": "ltr"})
    )
    secret = forms.CharField(
        label=_("Webhook secret"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"dir": "ltr"}),
        help_text=_("Signs each request (HMAC-SHA256). Copy it now: it is not shown again."),
    )
    account = forms.ModelChoiceField(
        Account.objects.order_by("email"), label=_("Of the account"), required=False, empty_label=_("all accounts")
    )
    kinds = forms.MultipleChoiceField(
        label=_("Of what"),
        choices=Kind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: everything that needs a person."),
    )
    is_on = forms.BooleanField(label=_("On"), required=False, initial=True)

    def __init__(self, data: Any = None, *, rule: AlertRule | None = None) -> None:
        self.rule = rule
        names = ("channel", "user", "address", "sender", "url", "account", "kinds", "is_on")
        initial = {name: getattr(rule, name) for name in names} if rule else {}
        if not (rule and rule.encrypted_secret):
            initial["secret"] = new_secret()
        super().__init__(data, initial=initial)
        for name in ("url", "secret"):
            self.fields[name].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}
        if rule and rule.encrypted_secret:
            self.fields["secret"].help_text = gettext("Leave it empty to keep the present one, which is not shown.")
        allowed = gettext("https:// or http://") if settings.WEBHOOK_ALLOW_HTTP else "https://"
        self.fields["url"].help_text = gettext("It begins with %(schemes)s. A JSON object is posted there.") % {
            "schemes": allowed
        }

    def clean_url(self) -> str:
        """The webhook's address; "" for none. Raises ValidationError for one that is no https (or, where allowed,
        http) URL."""
        url = str(self.cleaned_data["url"]).strip()
        schemes = ("https://", "http://") if settings.WEBHOOK_ALLOW_HTTP else ("https://",)
        if url and not url.lower().startswith(schemes):
            raise forms.ValidationError(
                gettext("Enter an address that begins with %(schemes)s")
                % {
                    "schemes": gettext("%(first)s or %(second)s") % {"first": schemes[0], "second": schemes[1]}
                    if len(schemes) > 1
                    else schemes[0]
                }
            )
        return url

    def clean(self) -> dict[str, Any]:
        """Check what the channel needs: mail a user or an address, and a sender; a webhook a URL and a secret."""
        given = super().clean() or {}
        if given.get("channel") == Channel.MAIL:
            if bool(given.get("user")) == bool(given.get("address")):  # of both, one would be told nothing
                self.add_error("address", gettext("Choose a user or enter an address."))
            if given.get("user") and not given["user"].email:
                self.add_error("user", gettext("This user has no mail address; enter an address instead."))
            if not given.get("sender"):
                self.add_error("sender", gettext("Choose the account that the mail is sent from."))
        elif given.get("channel") == Channel.WEBHOOK:
            if not given.get("url"):
                self.add_error("url", gettext("Enter the address to post to."))
            has_one = self.rule is not None and self.rule.encrypted_secret and not given.get("secret")
            if not has_one and len(given.get("secret") or "") < LEAST_SECRET:
                self.add_error(
                    "secret",
                    ngettext(
                        "Enter a secret of at least %(number)s character.",
                        "Enter a secret of at least %(number)s characters.",
                        LEAST_SECRET,
                    )
                    % {"number": LEAST_SECRET},
                )
        return given

    def save(self) -> AlertRule:
        """Save and return the rule. The fields of the other channel are cleared."""
        rule, given = self.rule or AlertRule(), self.cleaned_data
        is_mail = given["channel"] == Channel.MAIL
        rule.channel, rule.account, rule.kinds, rule.is_on = (
            given["channel"],
            given["account"],
            given["kinds"],
            given["is_on"],
        )
        rule.user = given["user"] if is_mail else None
        rule.address = given["address"] if is_mail else ""
        rule.sender = given["sender"] if is_mail else None
        rule.url = "" if is_mail else given["url"]
        if is_mail:
            rule.encrypted_secret = None
        elif given["secret"]:
            rule.secret = given["secret"]
        rule.save()
        return rule
