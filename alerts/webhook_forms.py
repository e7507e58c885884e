"""The form of a webhook for events."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from alerts.events import numbers, webhook_delivery
from alerts.http_post import WebhookFailed, checked
from alerts.models import EventKind, Webhook
from mailbox.models import Account


class WebhookForm(forms.Form):
    """A new webhook, or `webhook` to edit. A stored secret is never shown."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("Which program is told."))
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        help_text=_("Events are posted there as JSON."),
        widget=forms.TextInput(attrs={"dir": "ltr"}),
    )
    secret = forms.CharField(
        label=_("Secret"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"dir": "ltr"}),
        help_text=_("Signs each request (Standard Webhooks). Copy it now: it is not shown again."),
    )
    accounts = forms.CharField(
        label=_("Of the accounts"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Addresses, one a line. Empty: all, those added later included."),
    )
    kinds = forms.MultipleChoiceField(
        label=_("Of what"),
        choices=[(value, f"{value}: {label}") for value, label in EventKind.choices],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: everything."),
    )
    is_on = forms.BooleanField(
        label=_("On"), required=False, initial=True, help_text=_("While it is off, events wait for seven days.")
    )

    def __init__(self, data: Any = None, *, webhook: Webhook | None = None) -> None:
        self.webhook = webhook
        initial: dict[str, Any] = {"secret": webhook_delivery.new_secret(), "is_on": True}
        if webhook:
            emails = [] if webhook.all_accounts else webhook.accounts.order_by("email").values_list("email", flat=True)
            initial = {name: getattr(webhook, name) for name in ("name", "url", "kinds", "is_on")}
            initial["accounts"] = "\n".join(emails)
        super().__init__(data, initial=initial)
        # Made for each request, as the f-string evaluates the lazy label in the active language.
        self.fields["kinds"].choices = [(value, f"{value}: {label}") for value, label in EventKind.choices]  # type: ignore[attr-defined]
        for name in ("url", "secret"):
            self.fields[name].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}
        if webhook:
            self.fields["secret"].help_text = gettext("Leave it empty to keep the present one, which is not shown.")
            if self._lost_its_accounts():
                words = gettext("Its accounts are gone, so it is told nothing. Name others, one a line.")
                self.fields["accounts"].help_text = words

    def _lost_its_accounts(self) -> bool:
        return self.webhook is not None and not self.webhook.all_accounts and not self.webhook.accounts.exists()

    def clean_url(self) -> str:
        """The address. Raises ValidationError for one that http_post.checked() refuses."""
        url = str(self.cleaned_data["url"]).strip()
        try:
            checked(url)
        except WebhookFailed as error:
            raise forms.ValidationError(gettext(str(error))) from error
        return url

    def clean_secret(self) -> str:
        """The secret; "" keeps the stored one. Raises ValidationError for one that is not whsec_ and 24 to 64
        bytes in base64."""
        secret = str(self.cleaned_data["secret"]).strip()
        if not secret and self.webhook:
            return ""
        try:
            webhook_delivery.key_of(secret)
        except ValueError as error:
            raise forms.ValidationError(gettext("A secret is whsec_ and 24 to 64 bytes in base64.")) from error
        return secret

    def clean_accounts(self) -> list[Account] | None:
        """The accounts with the typed addresses; None for all accounts. A webhook whose accounts are gone stays without
        any until others are named: it was never meant for all."""
        emails = {line.strip().casefold() for line in self.cleaned_data["accounts"].splitlines() if line.strip()}
        if not emails:
            return [] if self._lost_its_accounts() else None
        found = [each for each in Account.objects.order_by("email") if each.email.casefold() in emails]
        if missing := emails - {each.email.casefold() for each in found}:
            raise forms.ValidationError(gettext("There is no account %(address)s.") % {"address": min(missing)})
        return found

    def save(self) -> Webhook:
        """Save and return the webhook. A new one gets the events from now on."""
        given = self.cleaned_data
        webhook = self.webhook or Webhook(cursor=numbers.give())
        webhook.name, webhook.url, webhook.kinds = given["name"], given["url"], given["kinds"]
        webhook.all_accounts = given["accounts"] is None
        if given["secret"]:
            webhook.secret = given["secret"]
        with transaction.atomic():
            if self.webhook is None:
                webhook.is_on = given["is_on"]
                webhook.save()
            else:  # cursor and lease are left out, as a worker may change them, and the secret, which may be rotated
                changed = ["name", "url", "kinds", "all_accounts"]
                webhook.save(update_fields=changed + (["encrypted_secret", "secret_set_at"] if given["secret"] else []))
                # The change may have fixed a failing webhook, so it is tried at once.
                tried = {"failures": 0, "failing_since": None, "next_try_at": webhook.created_at}
                Webhook.objects.filter(pk=webhook.pk).update(is_on=given["is_on"], **tried)
            webhook.accounts.set(given["accounts"] or [])
        return webhook
