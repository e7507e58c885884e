"""Accounts as a file declares them: made when they are not there, changed where they differ, never deleted.

Secrets stand in environment variables that the file names. The same file twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction

from mailbox.accounts.create import TransportFields, create_account
from mailbox.accounts.secret_variables import NoSecret, secret_in
from mailbox.credentials import DecryptionFailed
from mailbox.endpoints import default_smtp_security, secret_problem
from mailbox.models import Account, Transport

SWITCHES = ("sync_enabled", "send_enabled", "push_enabled")
TEXTS = ("display_name", "signature", "ca_certificate", "sent_copy")
NUMBERS = ("imap_port", "smtp_port", "messages_per_minute")
SERVERS = ("imap_host", "imap_port", "smtp_host", "smtp_port", "smtp_security", "user")
SECRETS = ("password_env", "oauth_token_env")
KNOWN = {"email", "messages_per_minute", *SWITCHES, *TEXTS, *SERVERS, *SECRETS}
NEEDED = ("email", "imap_host", "imap_port", "smtp_host", "smtp_port")
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class InvalidDeclaration(Exception):
    """The declaration is not valid; str() is a sentence that says why."""


@dataclass(frozen=True)
class Outcome:
    """`state`: made, changed or unchanged; `changed`: the names of what differed."""

    account: Account
    state: str
    changed: list[str] = field(default_factory=list)


@transaction.atomic
def declare(given: Mapping[str, Any]) -> Outcome:
    """Bring the account in line: only what is named. Raises InvalidDeclaration, and then nothing is changed."""
    row = _read(given)
    account = Account.objects.with_transports().filter(email__iexact=row.get("email", "")).first()
    if account is not None:
        return _change(account, row)
    for name in NEEDED:
        if not row.get(name):
            raise InvalidDeclaration(f"{name} is missing.")
    return Outcome(_make(row), "made", sorted(row))


def _change(account: Account, row: Mapping[str, Any]) -> Outcome:
    """Other servers than before need the secret as well, or what is stored would be handed to whoever runs them."""
    kind, secret = _secret(row)
    changed = [name for name in (*SWITCHES, *TEXTS, "messages_per_minute") if name in row and _set(account, name, row)]
    for transport in (account.imap, account.smtp):
        names = _server_names(transport.kind)
        moved = [name for column, name in names.items() if name in row and _set(transport, name, row, column)]
        if not secret and any(not name.endswith("security") for name in moved):
            raise InvalidDeclaration(
                "Other servers or another user need the secret, too: name password_env or oauth_token_env."
            )
        if secret and _differs(transport, kind, secret):
            transport.password, transport.oauth_token = (secret, None) if kind == "password" else (None, secret)
            moved.append(f"{transport.kind}_secret")
        changed += moved
    if not changed:
        return Outcome(account, "unchanged")
    _save(account)
    return Outcome(account, "changed", list(dict.fromkeys(changed)))


def _save(account: Account) -> None:
    try:
        for part, excluded in ((account, ["imap", "smtp"]), (account.imap, []), (account.smtp, [])):
            part.full_clean(exclude=excluded)
            part.save()
    except ValidationError as error:
        raise InvalidDeclaration(sentences(error)) from error


def _make(row: Mapping[str, Any]) -> Account:
    kind, secret = _secret(row)
    if not secret:
        raise InvalidDeclaration("Name exactly one of password_env and oauth_token_env.")
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


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values by their types; an empty cell of a table says nothing."""
    row: dict[str, Any] = {}
    for name, value in given.items():
        if name not in KNOWN:
            raise InvalidDeclaration(f"{name} is not known. Known are {', '.join(sorted(KNOWN))}.")
        if value is not None and value != "":
            row[name] = _typed(name, str(value).strip())
    return row


def _typed(name: str, text: str) -> Any:
    if name in SWITCHES:
        if text.lower() not in _YES | _NO:
            raise InvalidDeclaration(f"{name} is yes or no, not {text}.")
        return text.lower() in _YES
    if name in NUMBERS:
        if not text.isdecimal() or int(text) > 2**31 - 1:
            raise InvalidDeclaration(f"{name} is a number, not {text}.")
        return int(text)
    return text


def _secret(row: Mapping[str, Any]) -> tuple[str, str]:
    """("password" or "oauth_token", the secret), or two empty texts where none is named."""
    named = [name for name in SECRETS if row.get(name)]
    if len(named) > 1:
        raise InvalidDeclaration("Name only one of password_env and oauth_token_env.")
    if not named:
        return "", ""
    try:
        value = secret_in(row[named[0]])
    except NoSecret as error:
        raise InvalidDeclaration(str(error)) from error
    if problem := secret_problem(value):
        raise InvalidDeclaration(str(problem))
    return named[0].removesuffix("_env"), value


def _server_names(kind: str) -> dict[str, str]:
    """Column of the transport -> what the file calls it."""
    names = {"host": f"{kind}_host", "port": f"{kind}_port", "user": "user"}
    return names | ({"security": "smtp_security"} if kind == Transport.Kind.SMTP else {})


def _set(part: Account | Transport, name: str, row: Mapping[str, Any], column: str = "") -> bool:
    """Whether it was another value."""
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
    """All that is wrong, in one line."""
    found = []
    for name, problems in error.message_dict.items():
        option = "" if name == NON_FIELD_ERRORS else f"{name.replace('_', ' ')}: "
        found += [f"{option}{problem}" for problem in problems]
    return " ".join(dict.fromkeys(found))
