"""What legal holds keep of written mail, and of an account; of received mail see mailbox.messages.holds."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from mailbox.messages.holds import Holds
from mailbox.models import Message
from outbox.models import Draft, OutboxMessage, OutboxRecipient


def of_outbox(holds: Holds) -> Q:
    """By account, by sender or recipient, and an answer to a message that is held."""
    held = holds.of_accounts() | Q(parent__in=holds.messages)
    for address in holds.addresses:
        held |= Q(mail_from__icontains=address)
        held |= Q(Exists(OutboxRecipient.objects.filter(outbox=OuterRef("pk"), address__iexact=address)))
    return held | _written_to(holds)


def of_drafts(holds: Holds) -> Q:
    return holds.of_accounts() | _written_to(holds)


def keeps_account(account_id: int, holds: Holds) -> bool:
    """Whether a hold stands on the account, or on mail that came to it or was written from it: it is not deleted."""
    if account_id in holds.accounts or not holds.is_any:
        return bool(holds.is_any)
    kept = ((Message, holds.of_messages()), (OutboxMessage, of_outbox(holds)), (Draft, of_drafts(holds)))
    return any(model._default_manager.filter(held, account=account_id).exists() for model, held in kept)


def _written_to(holds: Holds) -> Q:
    held = Q(pk__in=[])
    for address in holds.addresses:
        for column in ("to", "cc", "bcc"):
            held |= Q(**{f"{column}__icontains": address})
    return held
