"""What legal holds keep of written mail; of received mail see mailbox.messages.holds."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from mailbox.messages.holds import Holds
from outbox.models import OutboxRecipient


def of_outbox(holds: Holds) -> Q:
    """By account, by sender or recipient, and an answer to a message that is held."""
    held = holds.of_accounts() | Q(parent__in=holds.messages)
    for address in holds.addresses:
        held |= Q(mail_from__icontains=address)
        held |= Q(Exists(OutboxRecipient.objects.filter(outbox=OuterRef("pk"), address__iexact=address)))
    return held | _written_to(holds)


def of_drafts(holds: Holds) -> Q:
    return holds.of_accounts() | _written_to(holds)


def _written_to(holds: Holds) -> Q:
    held = Q(pk__in=[])
    for address in holds.addresses:
        for column in ("to", "cc", "bcc"):
            held |= Q(**{f"{column}__icontains": address})
    return held
