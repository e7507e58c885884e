"""Accounts declared by a file: created when missing, changed where they differ, never deleted; idempotent.

In a file for the command line secrets are names of environment variables. A file uploaded on a page contains the
secrets themselves: otherwise its author could have any variable of the server sent to a host of their choice. No error
message repeats a value, as it may be a secret in the wrong column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext

from mailbox.accounts.create import TransportFields, create_account
from mailbox.accounts.secret_variables import NoSecret, secret_in
from mailbox.credentials import DecryptionFailed
from mailbox.endpoints import default_smtp_security, secret_problem
from mailbox.localized import listed
from mailbox.models import Account, Transport
from mailbox.models.account_words import SentCopyChoice

SWITCHES = ("sync_enabled", "send_enabled", "push_enabled")
TEXTS = ("display_name", "signature", "ca_certificate", "sent_copy")
NUMBERS = ("imap_port", "smtp_port", "messages_per_minute")
SERVERS = ("imap_host", "imap_port", "smtp_host", "smtp_port", "smtp_security", "user")
CHOICES = {"smtp_security": Transport.Security.values, "sent_copy": SentCopyChoice.values}
NEEDED = ("email", "imap_host", "imap_port", "smtp_host", "smtp_port")
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True)
class SecretColumns:
    """The columns that hold a file's secrets (password, OAuth token), and how a cell of them is read."""

    password: str
    oauth_token: str
    read: Callable[[str], str]  # raises NoSecret

    @property
    def names(self) -> tuple[str, str]:
        """Both columns; a declaration fills exactly one of them."""
        return self.password, self.oauth_token

    @property
    def known(self) -> set[str]:
        """All columns of such a file."""
        return {"email", "messages_per_minute", *SWITCHES, *TEXTS, *SERVERS, *self.names}

    def told(self) -> dict[str, str]:
        """The columns' names as values for the placeholders of an error's text."""
        return {"password": self.password, "token": self.oauth_token}


IN_ENVIRONMENT = SecretColumns("password_env", "oauth_token_env", secret_in)
IN_FILE = SecretColumns("password", "oauth_token", str)
KNOWN = IN_ENVIRONMENT.known


class InvalidDeclaration(Exception):
    """The declaration is not valid; str() is a sentence that says why."""


@dataclass(frozen=True)
class DeclarationOutcome:
    """`state`: "made", "changed" or "unchanged". `changed`: the columns that differed."""

    account: Account
    state: str
    changed: list[str] = field(default_factory=list)


@transaction.atomic
def declare(given: Mapping[str, Any], secrets: SecretColumns = IN_ENVIRONMENT) -> DeclarationOutcome:
    """Create the account, or change what `given` names. Raises InvalidDeclaration, and then nothing is changed."""
    row = _read(given, secrets)
    account = Account.objects.with_transports().filter(email__iexact=row.get("email", "")).first()
    if account is not None:
        return _change(account, row, secrets)
    for name in NEEDED:
        if not row.get(name):
            raise InvalidDeclaration(gettext("%(column)s is missing.") % {"column": name})
    return DeclarationOutcome(_make(row, secrets), "made", sorted(row))


def _change(account: Account, row: Mapping[str, Any], secrets: SecretColumns) -> DeclarationOutcome:
    """Change what differs. Another server or CA certificate needs the secret too: the stored one must not be sent to a
    server that it was not meant for."""
    kind, secret = _secret(row, secrets)
    changed = [name for name in (*SWITCHES, *TEXTS, "messages_per_minute") if name in row and _set(account, name, row)]
    if not secret and account.ca_certificate and "ca_certificate" in changed:
        raise InvalidDeclaration(_why_secret_is_needed(secrets))
    for transport in (account.imap, account.smtp):
        names = _server_names(transport.kind)
        moved = [name for column, name in names.items() if name in row and _set(transport, name, row, column)]
        if not secret and any(not name.endswith("security") for name in moved):
            raise InvalidDeclaration(_why_secret_is_needed(secrets))
        if secret and _differs(transport, kind, secret):
            transport.password, transport.oauth_token = (secret, None) if kind == "password" else (None, secret)
            moved.append(f"{transport.kind}_secret")
        changed += moved
    if not changed:
        return DeclarationOutcome(account, "unchanged")
    _save(account)
    return DeclarationOutcome(account, "changed", list(dict.fromkeys(changed)))


def _save(account: Account) -> None:
    try:
        for part, excluded in ((account, ["imap", "smtp"]), (account.imap, []), (account.smtp, [])):
            part.full_clean(exclude=excluded)
            part.save()
    except ValidationError as error:
        raise InvalidDeclaration(sentences(error)) from error


def _why_secret_is_needed(secrets: SecretColumns) -> str:
    words = gettext(
        "Other servers, another user or certificate need the password, too: give %(password)s or %(token)s."
    )
    return words % secrets.told()


def _make(row: Mapping[str, Any], secrets: SecretColumns) -> Account:
    kind, secret = _secret(row, secrets)
    if not secret:
        raise InvalidDeclaration(gettext("Give exactly one of %(password)s and %(token)s.") % secrets.told())
    user, port = row.get("user") or row["email"], row["smtp_port"]
    security = row.get("smtp_security") or default_smtp_security(port)
    more = {name: row[name] for name in ("messages_per_minute", *SWITCHES, *TEXTS) if name in row}
    password, token = (secret, None) if kind == "password" else (None, secret)
    try:
        return create_account(
            row["email"],
            TransportFields(row["imap_host"], row["imap_port"], user, "tls", password, token),
            TransportFields(row["smtp_host"], port, user, security, password, token),
            **more,
        )
    except ValidationError as error:
        raise InvalidDeclaration(sentences(error)) from error


def _read(given: Mapping[str, Any], secrets: SecretColumns) -> dict[str, Any]:
    """The values converted to their types; empty cells are left out. Raises InvalidDeclaration."""
    row: dict[str, Any] = {}
    for name, value in given.items():
        if name not in secrets.known:
            known = listed(sorted(secrets.known))
            raise InvalidDeclaration(
                gettext("%(column)s is not known. Known are %(columns)s.") % {"column": name, "columns": known}
            )
        if value is not None and value != "":
            row[name] = str(value) if name in secrets.names else _typed(name, str(value).strip())
    return row


def _typed(name: str, text: str) -> Any:
    if name in SWITCHES:
        if text.lower() not in _YES | _NO:
            raise InvalidDeclaration(gettext("%(column)s is to be yes or no.") % {"column": name})
        return text.lower() in _YES
    if name == "email":
        try:
            validate_email(text)  # before it is looked up or shown: it may be a secret in the wrong column
        except ValidationError as error:
            raise InvalidDeclaration(" ".join(error.messages)) from None
    if name in NUMBERS:
        if not text.isdecimal() or int(text) > 2**31 - 1:
            raise InvalidDeclaration(gettext("%(column)s is to be a number.") % {"column": name})
        return int(text)
    if name in CHOICES and text not in CHOICES[name]:
        words = gettext("%(column)s is to be one of %(choices)s.")
        raise InvalidDeclaration(words % {"column": name, "choices": listed(CHOICES[name])})
    return text


def _secret(row: Mapping[str, Any], secrets: SecretColumns) -> tuple[str, str]:
    """("password" or "oauth_token", the secret); ("", "") when the row has none. Raises InvalidDeclaration."""
    named = [name for name in secrets.names if row.get(name)]
    if len(named) > 1:
        raise InvalidDeclaration(gettext("Give exactly one of %(password)s and %(token)s.") % secrets.told())
    if not named:
        return "", ""
    try:
        value = secrets.read(row[named[0]])
    except NoSecret as error:
        raise InvalidDeclaration(str(error)) from error
    if problem := secret_problem(value):
        raise InvalidDeclaration(str(problem))
    return "password" if named[0] == secrets.password else "oauth_token", value


def _server_names(kind: str) -> dict[str, str]:
    """Attribute of the transport -> column of the file. `kind`: "imap" or "smtp"."""
    names = {"host": f"{kind}_host", "port": f"{kind}_port", "user": "user"}
    return names | ({"security": "smtp_security"} if kind == Transport.Kind.SMTP else {})


def _set(part: Account | Transport, name: str, row: Mapping[str, Any], column: str = "") -> bool:
    """Set the value; return whether it was another one before."""
    column = column or name
    if getattr(part, column) == row[name]:
        return False
    setattr(part, column, row[name])
    return True


def _differs(transport: Transport, kind: str, secret: str) -> bool:
    try:
        return bool(getattr(transport, kind) != secret)
    except DecryptionFailed:
        return True


def sentences(error: ValidationError) -> str:
    """All messages of the error in one line."""
    found = []
    for name, problems in error.message_dict.items():
        option = "" if name == NON_FIELD_ERRORS else f"{name.replace('_', ' ')}: "
        found += [f"{option}{problem}" for problem in problems]
    return " ".join(dict.fromkeys(found))
