"""The form of an account with both its transports."""

from __future__ import annotations

import copy
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.accounts.allowed_servers import judge
from mailbox.accounts.create import TransportFields, create_account
from mailbox.accounts.credentials_change import (
    FAILURES,
    SECRETS,
    SecretField,
    announce_change,
    forget_failures,
    put_secret,
)
from mailbox.accounts.secret_reuse import SecretRecipient, why_to_type_again
from mailbox.endpoints import default_smtp_security
from mailbox.lazy_text import Words
from mailbox.models import Account, Transport
from mailbox.models.account_words import SentCopyChoice
from mailbox.presets import Preset

MAX_CA_BYTES = 200_000
_WHERE = ["host", "port", "security", "user", "private_host_allowed"]
_ACCOUNT = ["email", "display_name", "ca_certificate", "sent_copy", "sync_enabled", "send_enabled", "push_enabled"]
_ACCOUNT += ["messages_per_minute", "signature"]
_LINES = forms.Textarea(attrs={"rows": 4, "dir": "auto"})


def _port(initial: int, **kwargs: Any) -> forms.IntegerField:
    wrong = _("A port is a number from 1 to 65535.")
    messages = {"required": _("Give the port."), "invalid": wrong, "min_value": wrong, "max_value": wrong}
    return forms.IntegerField(
        label=_("Port"), initial=initial, min_value=1, max_value=65535, error_messages=messages, **kwargs
    )


def _hint_to_keep(transport: Transport) -> str:
    if transport.auth_method == "oauth":
        return gettext("Leave both empty to keep the stored OAuth token; another server needs it again.")
    return gettext("Leave both empty to keep the stored password; another server needs it again.")


def _needed(words: Words) -> dict[str, Words]:
    return {"required": words}


class AccountForm(forms.Form):
    """An account with both transports. It changes copies of the rows, so that invalid input changes nothing."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        error_messages={
            **_needed(_("Give the e-mail address.")),
            "invalid": _("An e-mail address looks like ann@example.com."),
        },
    )
    display_name = forms.CharField(
        label=_("Name"), max_length=200, required=False, help_text=_("Stands before the address in mail that you send.")
    )
    signature = forms.CharField(
        label=_("Signature"), max_length=2_000, required=False, widget=_LINES, help_text=_("Below what you write.")
    )
    imap_host = forms.CharField(
        label=_("Host"), max_length=253, error_messages=_needed(_("Give the server's host name."))
    )
    imap_port = _port(993, help_text=_("TLS from the first byte, always."))
    imap_user = forms.CharField(
        label=_("User name"),
        max_length=320,
        help_text=_("Usually the whole e-mail address."),
        error_messages=_needed(_("Give the user name.")),
    )
    imap_password = SecretField(label=_("Password or app password"))
    imap_oauth_token = SecretField(label=_("OAuth access token"))
    smtp_same = forms.BooleanField(label=_("Sign in with the same user name and password as for IMAP"), required=False)
    smtp_host = forms.CharField(
        label=_("Host"), max_length=253, error_messages=_needed(_("Give the server's host name."))
    )
    smtp_port = _port(465)
    smtp_security = forms.ChoiceField(
        label=_("Security"),
        required=False,
        choices=[("", _("by the port: TLS on 465, else STARTTLS")), *Transport.Security.choices],
    )
    smtp_user = forms.CharField(label=_("User name"), max_length=320, required=False)
    smtp_password = SecretField(label=_("Password or app password"))
    smtp_oauth_token = SecretField(label=_("OAuth access token"))
    ca_certificate = forms.CharField(
        label=_("Extra CA certificate"),
        required=False,
        widget=forms.Textarea(attrs={"class": "code", "spellcheck": "false", "rows": 5}),
        help_text=_(
            "Only for a private server or a bridge whose certificate no public authority signed. PEM: "
            "it begins with -----BEGIN CERTIFICATE-----."
        ),
    )
    ca_file = forms.FileField(label=_("… or its file"), required=False)
    sync_enabled = forms.BooleanField(label=_("Fetch mail"), required=False, initial=True)
    send_enabled = forms.BooleanField(label=_("Send mail"), required=False, initial=True)
    push_enabled = forms.BooleanField(
        label=_("Push"),
        required=False,
        initial=True,
        help_text=_(
            "Keep a connection to the inbox, so that new mail is here within a second or two. Where the server "
            "does not offer it (IMAP IDLE), mail is looked for each minute."
        ),
    )

    messages_per_minute = forms.IntegerField(
        label=_("Messages a minute, at most"),
        required=False,
        min_value=1,
        max_value=100_000,
        help_text=_("Empty: no limit."),
    )
    sent_copy = forms.ChoiceField(
        label=_("Copy in Sent"),
        required=False,
        choices=SentCopyChoice.choices,
        initial=SentCopyChoice.AUTOMATIC,
        help_text=_("Automatic: unless the provider puts sent mail there itself, as Gmail and Outlook do."),
    )

    def __init__(
        self,
        *args: Any,
        account: Account | None = None,
        preset: Preset | None = None,
        any_server: bool = True,
        **kwargs: Any,
    ) -> None:
        """`any_server`: whether the person may choose any port, and hosts of inner networks."""
        self.stored, self._any_server = account, any_server
        if account is None:
            self.account = Account()
            self.imap, self.smtp = Transport(kind="imap", security="tls"), Transport(kind="smtp")
        else:
            self.account = copy.copy(account)
            self.imap, self.smtp = copy.copy(account.imap), copy.copy(account.smtp)
        initial = _of_account(account) if account else _of_preset(preset)
        kwargs["initial"] = {**initial, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        if account:
            for kind, transport in (("imap", self.imap), ("smtp", self.smtp)):
                self.fields[f"{kind}_password"].help_text = _hint_to_keep(transport)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if (file := cleaned.get("ca_file")) is not None:
            cleaned["ca_certificate"] = self._read_ca(file)
        self._fill_account(cleaned)
        self._fill_transport("imap", self.imap, cleaned)
        self._fill_transport("smtp", self.smtp, cleaned)
        return cleaned

    def _read_ca(self, file: UploadedFile[Any]) -> str:
        if (file.size or 0) > MAX_CA_BYTES:
            self.add_error("ca_file", gettext("This file is too large to be a certificate."))
            return ""
        try:
            return bytes(file.read()).decode("ascii")
        except UnicodeDecodeError:
            self.add_error(
                "ca_file", gettext("This is not a certificate in PEM; convert it with openssl x509 -inform der.")
            )
            return ""

    def _fill_account(self, cleaned: dict[str, Any]) -> None:
        for name in ("email", "display_name", "ca_certificate", "signature"):
            setattr(self.account, name, cleaned.get(name) or "")
        for name in ("sync_enabled", "send_enabled", "push_enabled"):
            setattr(self.account, name, bool(cleaned.get(name)))
        self.account.messages_per_minute = cleaned.get("messages_per_minute")
        self.account.sent_copy = cleaned.get("sent_copy") or SentCopyChoice.AUTOMATIC
        self._check(self.account, "")

    def _fill_transport(self, kind: str, transport: Transport, cleaned: dict[str, Any]) -> None:
        for name in ("host", "port", "user"):
            setattr(transport, name, cleaned.get(f"{kind}_{name}") or ("" if name != "port" else 0))
        if kind == "smtp":
            transport.security = cleaned.get("smtp_security") or default_smtp_security(transport.port)
        same = bool(kind == "smtp" and cleaned.get("smtp_same"))
        if not same and not transport.user and f"{kind}_user" not in self.errors:
            self.add_error(f"{kind}_user", gettext("Give the user name."))
        before = getattr(self.stored, kind) if self.stored else None
        for name, words in judge(transport, before, any_server=self._any_server).items():
            self.add_error(f"{kind}_{name}", words)
        self._refuse_stored_elsewhere(kind, "imap" if same else kind, cleaned)
        if same:
            transport.user = self.imap.user
            for name in SECRETS:
                setattr(transport, name, getattr(self.imap, name))
        else:
            try:
                put_secret(transport, cleaned.get(f"{kind}_password") or "", cleaned.get(f"{kind}_oauth_token") or "")
            except ValidationError as error:
                self.add_error(f"{kind}_password", error)
                return
        self._check(transport, f"{kind}_", silent=("user", NON_FIELD_ERRORS) if same else ())

    def _refuse_stored_elsewhere(self, kind: str, source: str, cleaned: dict[str, Any]) -> None:
        """Add an error when no secret was typed and the stored one of `source` would be sent to another server."""
        if self.stored is None or cleaned.get(f"{source}_password") or cleaned.get(f"{source}_oauth_token"):
            return
        before, host = getattr(self.stored, kind), str(cleaned.get(f"{kind}_host") or "")
        after = SecretRecipient(host, cleaned.get(f"{kind}_port"), self.account.ca_certificate)
        kept = getattr(self.stored, source)
        reason = why_to_type_again(before, self.stored.ca_certificate, after, kept) if host else ""
        if reason and reason not in self.errors.get(f"{source}_password", []):
            self.add_error(f"{source}_password", reason)

    def _check(self, row: Account | Transport, prefix: str, silent: tuple[str, ...] = ()) -> None:
        """Validate the row, constraints included; errors of fields that the form refused already are left out."""
        refused = {name.removeprefix(prefix) for name in self.errors if name.startswith(prefix)}
        try:
            row.full_clean(exclude=refused)
        except ValidationError as error:
            for name, errors in error.update_error_dict({}).items():
                if name in silent or name in refused:  # a row's clean() does not know `exclude`
                    continue
                field = f"{prefix}password" if name == NON_FIELD_ERRORS else f"{prefix}{name}"
                self.add_error(field if field in self.fields else None, list(errors))

    def _is_changed(self, transport: Transport) -> bool:
        assert self.stored is not None
        if self.stored.ca_certificate != self.account.ca_certificate:
            return True
        before = self.stored.imap if transport is self.imap else self.stored.smtp
        return any(getattr(before, name) != getattr(transport, name) for name in [*_WHERE, *SECRETS])

    def save(self) -> Account:
        """Save account and transports in one transaction: only the form's columns, as workers write the others."""
        if self.stored is None:
            return self._create()
        with transaction.atomic():
            changed = [transport for transport in (self.imap, self.smtp) if self._is_changed(transport)]
            for transport in changed:
                forget_failures(transport)
                transport.save(update_fields=[*_WHERE, *SECRETS, *FAILURES])
            self.account.save(update_fields=[*_ACCOUNT, "updated_at"])
            if changed:
                announce_change(self.account.pk)
        return self.account

    def _create(self) -> Account:
        fields = {name: getattr(self.account, name) for name in _ACCOUNT if name != "email"}
        self.account = create_account(self.account.email, _typed(self.imap), _typed(self.smtp), **fields)
        return self.account


def _typed(transport: Transport) -> TransportFields:
    return TransportFields(
        host=transport.host,
        port=transport.port,
        user=transport.user,
        security=transport.security,
        password=transport.password,
        oauth_token=transport.oauth_token,
    )


def _of_account(account: Account) -> dict[str, Any]:
    """What the form shows of a stored account; never a secret."""
    shown: dict[str, Any] = {name: getattr(account, name) for name in _ACCOUNT}
    for kind, transport in (("imap", account.imap), ("smtp", account.smtp)):
        shown |= {f"{kind}_{name}": getattr(transport, name) for name in ("host", "port", "user")}
    return shown | {"smtp_security": account.smtp.security, "smtp_same": False}


def _of_preset(preset: Preset | None) -> dict[str, Any]:
    if preset is None:
        return {"smtp_same": True}
    return {
        "imap_host": preset.imap_host,
        "imap_port": preset.imap_port,
        "smtp_host": preset.smtp_host,
        "smtp_port": preset.smtp_port,
        "smtp_security": preset.smtp_security,
        "smtp_same": True,
    }
