"""What legal holds keep of received mail, as conditions that leave out rows."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection
from django.db.models import Q

from mailbox.models import LegalHold

COLUMNS = ("sender_address", "sender", "recipients", "cc", "bcc", "reply_to")


@dataclass(frozen=True)
class LegalHolds:
    """All holds that stand, read once for a batch."""

    accounts: frozenset[int] = frozenset()
    addresses: tuple[str, ...] = ()
    messages: frozenset[int] = frozenset()

    @classmethod
    def standing(cls) -> LegalHolds:
        rows = list(LegalHold.objects.standing())
        return cls(
            accounts=frozenset(row.account_id for row in rows if row.account_id),
            addresses=tuple(sorted({row.address for row in rows if row.address})),
            messages=frozenset(row.message_id for row in rows if row.message_id),
        )

    @classmethod
    def until_commit(cls) -> LegalHolds:
        """Likewise, for whoever removes: a hold that is put meanwhile waits for the end of this transaction, else it
        would stand over mail that goes. SQLite has one writer at a time anyway."""
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f'LOCK TABLE "{LegalHold._meta.db_table}" IN SHARE ROW EXCLUSIVE MODE')
        return cls.standing()

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
