"""Creates an account with both its transports: validated as a whole, saved in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction

from mailbox.endpoints import secret_problem
from mailbox.models import Account, Folder, OAuthGrant, Transport
from mailbox.models.account_words import SentCopyChoice


@dataclass(frozen=True)
class TransportFields:
    """What a person types for one server. Exactly one of `password`, `oauth_token` and `grant` is to be set."""

    host: str
    port: int
    user: str
    security: str = "tls"
    password: str | None = field(default=None, repr=False)
    oauth_token: str | None = field(default=None, repr=False)
    grant: OAuthGrant | None = field(default=None, repr=False)


def create_account(
    email: str,
    imap: TransportFields,
    smtp: TransportFields,
    *,
    display_name: str = "",
    ca_certificate: str = "",
    sync_enabled: bool = True,
    send_enabled: bool = True,
    push_enabled: bool = True,
    sent_copy: str = SentCopyChoice.AUTOMATIC,
    messages_per_minute: int | None = None,
    signature: str = "",
) -> Account:
    """Save a new account with INBOX chosen to be synced.

    Raises ValidationError with all that is wrong, by field; the transports' fields are named imap_host, smtp_port, ...
    """
    account = Account(
        email=email.strip(),
        display_name=display_name.strip(),
        ca_certificate=ca_certificate.strip(),
        sync_enabled=sync_enabled,
        send_enabled=send_enabled,
        push_enabled=push_enabled,
        sent_copy=sent_copy,
        messages_per_minute=messages_per_minute,
        signature=signature,
        imap=_transport(Transport.Kind.IMAP, imap),
        smtp=_transport(Transport.Kind.SMTP, smtp),
    )
    _validate(account, {"imap_password": imap, "smtp_password": smtp})
    with transaction.atomic():
        account.imap.save()
        account.smtp.save()
        account.imap, account.smtp = account.imap, account.smtp  # sets imap_id and smtp_id, now that both are saved
        account.save()
        Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    return account


def _transport(kind: str, fields: TransportFields) -> Transport:
    transport = Transport(
        kind=kind, host=fields.host.strip(), port=fields.port, security=fields.security, user=fields.user
    )
    transport.password, transport.oauth_token, transport.grant = fields.password, fields.oauth_token, fields.grant
    return transport


def _validate(account: Account, typed: dict[str, TransportFields]) -> None:
    problems: dict[str, list[str]] = {}
    for key, fields in typed.items():
        if problem := secret_problem(fields.password or fields.oauth_token or ""):
            problems[key] = [problem]
    for prefix, part, excluded in (
        ("", account, ["imap", "smtp"]),
        ("imap_", account.imap, []),
        ("smtp_", account.smtp, []),
    ):
        try:
            part.full_clean(exclude=excluded)
        except ValidationError as error:
            for name, sentences in error.message_dict.items():
                key = NON_FIELD_ERRORS if name == NON_FIELD_ERRORS else f"{prefix}{name}"
                known = problems.setdefault(key, [])
                known += [sentence for sentence in sentences if sentence not in known]
    if problems:
        raise ValidationError(problems)
