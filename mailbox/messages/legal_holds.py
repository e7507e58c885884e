"""Legal holds on received mail, as query conditions by which deletions exclude the held rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import Coalesce

from mailbox.db.ignoring_case import expression_contains
from mailbox.mime.addresses import spellings
from mailbox.models import LegalHold

COLUMNS = ("sender_address", "sender", "recipients", "cc", "bcc", "reply_to", "other_recipients")
NULLABLE = ("other_recipients",)


@dataclass(frozen=True)
class LegalHolds:
    """All standing holds, read once for a batch.

    addresses: in lower case, with both forms of an international domain.
    """

    accounts: frozenset[int] = frozenset()
    addresses: tuple[str, ...] = ()
    messages: frozenset[int] = frozenset()

    @classmethod
    def standing(cls) -> LegalHolds:
        """The holds that nobody has released, by one query."""
        rows = list(LegalHold.objects.standing())
        return cls(
            accounts=frozenset(row.account_id for row in rows if row.account_id),
            addresses=tuple(sorted({each for row in rows if row.address for each in spellings(row.address)})),
            messages=frozenset(row.message_id for row in rows if row.message_id),
        )

    @classmethod
    def until_commit(cls) -> LegalHolds:
        """Like standing(), for a transaction that deletes mail: a new hold must wait until it ends.

        Otherwise a hold could be placed on mail that is being deleted. SQLite has one writer at a time anyway.
        """
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f'LOCK TABLE "{LegalHold._meta.db_table}" IN SHARE ROW EXCLUSIVE MODE')
        return cls.standing()

    @property
    def is_any(self) -> bool:
        """Whether there is any hold, so that a query needs no condition for it."""
        return bool(self.accounts or self.addresses or self.messages)

    def of_accounts(self, field: str = "account") -> Q:
        """Condition for rows of held accounts. field: the lookup of the account."""
        return Q(**{f"{field}__in": self.accounts})

    def of_messages(self) -> Q:
        """Condition for held messages: by themselves, by their account, or by a held address as sender or recipient.

        An address matches anywhere in these columns, so that a display name beside it does no harm.
        """
        held = self.of_accounts() | Q(pk__in=self.messages)
        for address in self.addresses:
            held |= contain(COLUMNS, address)
        return held


def contain(columns: Sequence[str], address: str) -> Q:
    """The condition that a column contains the address: a single one, as SQLite allows only so many in a query."""
    texts = [Coalesce(F(column), Value("")) if column in NULLABLE else F(column) for column in columns]
    lines = [each for text in texts for each in (text, Value("\n"))]
    # Not Concat, which nests pairs: with so many SQLite's parser stack overflows.
    joined = Func(*lines, template="(%(expressions)s)", arg_joiner=" || ", output_field=TextField())
    return Q(expression_contains(joined, address))
