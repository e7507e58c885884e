"""The form of the site's registration at one provider. Secrets are typed once and never rendered back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.accounts.credentials_change import SecretField, announce_change
from mailbox.endpoints import default_smtp_security, host_problem
from mailbox.models import Account, OAuthApp, OAuthGrant, Transport
from mailbox.oauth import apps
from mailbox.safe_http import MAX_ADDRESS
from mailbox.tls import pem_problem

Kind = OAuthApp.Kind
_SERVERS = ("imap_host", "imap_port", "smtp_host", "smtp_port")
_ONLY = {  # field -> the kinds of providers whose form has it
    "name": {Kind.DISCOVERY},
    "discovery_url": {Kind.DISCOVERY},
    "scopes": {Kind.DISCOVERY},
    "application_scopes": {Kind.DISCOVERY},
    "domains": {Kind.DISCOVERY, Kind.GOOGLE, Kind.MICROSOFT},
    "ca_certificate": {Kind.DISCOVERY},
    "tenant": {Kind.MICROSOFT},
    "service_key": {Kind.GOOGLE},
    **{name: {Kind.DISCOVERY} for name in _SERVERS},
}


class AppForm(forms.Form):
    """Edits one OAuthApp; its kind decides which fields the form has."""

    name = forms.CharField(label=_("Name on the button"), max_length=60)
    discovery_url = forms.CharField(
        label=_("Address of the discovery document"),
        max_length=500,
        help_text=_("It ends in /.well-known/openid-configuration."),
    )
    tenant = forms.RegexField(
        r"^[A-Za-z0-9.-]{0,100}$",
        label=_("Directory (tenant) ID"),
        required=False,
        help_text=_("Empty: accounts of any tenant. Client credentials need it."),
    )
    client_id = forms.CharField(label=_("Client ID"), max_length=400, required=False)
    client_secret = SecretField(label=_("Client secret"), help_text=_("Leave it empty to keep the stored one."))
    secret_ends_on = forms.DateField(
        label=_("The client secret ends on"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("The provider shows it where the secret was made. You are told 30, 7 and 1 days before."),
    )
    scopes = forms.CharField(
        label=_("Scopes"),
        max_length=1000,
        required=False,
        initial="openid email offline_access",
        help_text=_("As the provider names them, with those that open mail, separated by spaces."),
    )
    application_scopes = forms.CharField(label=_("Scopes of client credentials"), max_length=1000, required=False)
    domains = forms.CharField(
        label=_("Domains"),
        max_length=1000,
        required=False,
        help_text=_("Addresses of these domains are offered this button: example.com example.org"),
    )
    imap_host = forms.CharField(label=_("IMAP host"), max_length=253, required=False)
    imap_port = forms.IntegerField(label=_("IMAP port"), min_value=1, max_value=65535, required=False, initial=993)
    smtp_host = forms.CharField(label=_("SMTP host"), max_length=253, required=False)
    smtp_port = forms.IntegerField(label=_("SMTP port"), min_value=1, max_value=65535, required=False, initial=465)
    ca_certificate = forms.CharField(
        label=_("Extra CA certificate of the mail servers"),
        required=False,
        max_length=200_000,
        widget=forms.Textarea(attrs={"class": "code", "spellcheck": "false", "rows": 4}),
    )
    service_key = forms.CharField(
        label=_("Service account's key file (JSON)"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"class": "code", "spellcheck": "false", "rows": 4, "autocomplete": "off"}),
        help_text=_("Only for a Google Workspace whose administrator granted it all mailboxes. Never shown again."),
    )

    def __init__(self, *args: Any, app: OAuthApp, **kwargs: Any) -> None:
        self.app = app
        shown = ("name", "discovery_url", "tenant", "client_id", "secret_ends_on", "scopes", "application_scopes")
        initial = {name: getattr(app, name) for name in (*shown, "domains", "ca_certificate") if getattr(app, name)}
        kwargs["initial"] = {**initial, **app.servers}
        super().__init__(*args, **kwargs)
        if not app.encrypted_client_secret:
            self.fields["client_secret"].help_text = ""
        for name, kinds in _ONLY.items():
            if app.kind not in kinds:
                del self.fields[name]

    def clean_service_key(self) -> str:
        """The key file's text; "" where none is given, which leaves the stored one. Refuses any other file."""
        given = str(self.cleaned_data.get("service_key") or "")
        if given and not apps.read_service_key(given)[1]:
            raise ValidationError(
                gettext("This is no service account's key file: client_email and private_key are missing.")
            )
        return given

    def clean_discovery_url(self) -> str:
        given = str(self.cleaned_data["discovery_url"]).strip()
        if not given.startswith(("https://", "http://")) or len(given) > MAX_ADDRESS:
            raise ValidationError(gettext("Give the address of the discovery document: it begins with https://."))
        return given

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in ("imap_host", "smtp_host"):
            if cleaned.get(name) and (problem := host_problem(cleaned[name])):
                self.add_error(name, problem)
        if cleaned.get("ca_certificate") and (problem := pem_problem(cleaned["ca_certificate"])):
            self.add_error("ca_certificate", problem)
        if (cleaned.get("client_secret") or "").strip() and not (cleaned.get("client_id") or "").strip():
            self.add_error("client_id", gettext("Give the client ID that this secret belongs to."))
        return cleaned

    def save(self) -> OAuthApp:
        """Save the row, and have grants that failed because of the former secret tried again."""
        app, given = self.app, self.cleaned_data
        is_new_document = bool(given.get("discovery_url")) and given["discovery_url"] != app.discovery_url
        for name in ("name", "discovery_url", "tenant", "scopes", "application_scopes", "ca_certificate", "client_id"):
            if name in self.fields:
                setattr(app, name, str(given.get(name) or "").strip())
        app.secret_ends_on = given.get("secret_ends_on")
        app.domains = " ".join(str(given.get("domains") or "").lower().replace(",", " ").split())
        if given.get("client_secret"):
            app.client_secret = given["client_secret"].strip()
        if given.get("service_key"):
            app.service_key = given["service_key"]
        if "imap_host" in self.fields:
            app.servers = {name: given[name] for name in _SERVERS if given.get(name)}
            if given.get("smtp_port"):
                app.servers["smtp_security"] = default_smtp_security(given["smtp_port"])
        if is_new_document:
            app.document, app.discovery_error = {}, ""
        app.save()
        try_again(app)
        return app


def try_again(app: OAuthApp) -> None:
    """Have grants refreshed again at once that failed because of the site's own id, secret or key."""
    failed = OAuthGrant.objects.not_ended().filter(app=app).exclude(failure="")
    transports = Transport.objects.filter(grant__in=failed)
    accounts = list(Account.objects.filter(imap__in=transports).values_list("pk", flat=True))
    transports.update(needs_sign_in_since=None, last_reply="", failure_count=0, next_allowed_at=None)
    failed.update(failure="", last_reply="", failure_count=0, next_allowed_at=None)
    for pk in accounts:
        announce_change(pk)
