"""What legal holds keep of received mail, as conditions that leave out rows."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from mailbox.models import LegalHold, Message

COLUMNS = ("sender_address", "sender", "recipients", "cc", "bcc", "reply_to")


@dataclass(frozen=True)
class Holds:
    """All holds that stand, read once for a batch: one that is put down counts from the next batch on."""

    accounts: frozenset[int] = frozenset()
    addresses: tuple[str, ...] = ()
    messages: frozenset[int] = frozenset()

    @classmethod
    def standing(cls) -> Holds:
        rows = list(LegalHold.objects.standing())
        return cls(
            accounts=frozenset(row.account_id for row in rows if row.account_id),
            addresses=tuple(sorted({row.address for row in rows if row.address})),
            messages=frozenset(row.message_id for row in rows if row.message_id),
        )

    @property
    def is_any(self) -> bool:
        return bool(self.accounts or self.addresses or self.messages)

    def of_accounts(self, field: str = "account") -> Q:
        """Rows of accounts that are held."""
        return Q(**{f"{field}__in": self.accounts})

    def of_messages(self) -> Q:
        """Received mail that is held: itself, its account, or because an address stands in it as sender or recipient.
        By a part of the text, so that a name around the address hides nothing."""
        held = self.of_accounts() | Q(pk__in=self.messages)
        for address in self.addresses:
            for column in COLUMNS:
                held |= Q(**{f"{column}__icontains": address})
        return held


def keeps_account(account_id: int) -> bool:
    """Whether a hold stands on the account, or on mail of it: it must not be deleted."""
    holds = Holds.standing()
    if account_id in holds.accounts:
        return True
    if not holds.messages and not holds.addresses:
        return False
    return Message.objects.filter(holds.of_messages(), account=account_id).exists()
