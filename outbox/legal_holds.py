"""Legal holds on sent mail and on accounts; for received mail see mailbox.messages.legal_holds."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from mailbox.db.ignoring_case import contains, equals
from mailbox.messages.legal_holds import LegalHolds, contain
from mailbox.models import Message
from outbox.models import Draft, OutboxMessage, OutboxRecipient


def of_outbox(legal_holds: LegalHolds) -> Q:
    """The condition for rows that are held: by account, sender or recipient, or as an answer to a held message."""
    held = legal_holds.of_accounts() | Q(parent__in=legal_holds.messages)
    for address in legal_holds.addresses:
        held |= contains("mail_from", address)
        held |= Q(Exists(OutboxRecipient.objects.filter(equals("address", address), outbox=OuterRef("pk"))))
    return held | _written_to(legal_holds)


def of_drafts(legal_holds: LegalHolds) -> Q:
    """The condition for drafts that are held: by account, or by an address they are written to."""
    return legal_holds.of_accounts() | _written_to(legal_holds)


def holds_account(account_id: int, legal_holds: LegalHolds) -> bool:
    """Whether the account, or any of its received or sent mail, is held: then it must not be deleted."""
    if account_id in legal_holds.accounts or not legal_holds.is_any:
        return bool(legal_holds.is_any)
    kept = (
        (Message, legal_holds.of_messages()),
        (OutboxMessage, of_outbox(legal_holds)),
        (Draft, of_drafts(legal_holds)),
    )
    return any(model._default_manager.filter(held, account=account_id).exists() for model, held in kept)


def _written_to(legal_holds: LegalHolds) -> Q:
    held = Q(pk__in=[])
    for address in legal_holds.addresses:
        held |= contain(("to", "cc", "bcc"), address)
    return held
