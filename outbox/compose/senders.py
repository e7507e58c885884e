"""The sender of a mail in From (RFC 5322 3.6.2): an account's main address or one of its aliases.

The envelope's sender is the account's main address in either case: docs/decisions.md says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext

from mailbox.db import statements
from mailbox.mime.addresses import read, same
from mailbox.models import Account, AccountAlias
from outbox.errors import ValidationFailed


@dataclass(frozen=True)
class SenderIdentity:
    """One of the addresses that a mail of an account can be sent from. str() is its addr-spec."""

    account: Account
    alias: AccountAlias | None = None  # None: the account's main address

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        """The addr-spec (RFC 5322 3.4.1)."""
        return self.alias.email if self.alias else self.account.email

    @property
    def name(self) -> str:
        """The display name; "" for none."""
        return self.alias.display_name if self.alias else self.account.display_name

    @property
    def signature(self) -> str:
        """The text that goes below a mail from this address; "" for none."""
        return self.alias.signature if self.alias else self.account.signature

    @property
    def form_value(self) -> str:
        """The value of this sender among the choices of a form."""
        return f"{self.account.pk}-{self.alias.pk}" if self.alias else str(self.account.pk)


def senders_of(accounts: Iterable[Account]) -> list[SenderIdentity]:
    """All senders of these accounts. The caller should prefetch `aliases`."""
    return [SenderIdentity(account, alias) for account in accounts for alias in (None, *account.aliases.all())]


def own_addresses(account: Account) -> list[str]:
    """The addr-specs of an account's senders, the main address first."""
    return [account.email, *(email for (email,) in statements.rows(_ALIASES, [account.pk]))]


_ALIASES = 'SELECT "email" FROM "account_aliases" WHERE "account_id" = %s ORDER BY "email"'


def sender_of(account: Account, address: str = "") -> SenderIdentity:
    """The account's sender with this address, "" for its main one. Raises ValidationFailed if it has no such one."""
    if not address or same(address) == same(account.email):
        return SenderIdentity(account)
    found = next((each for each in senders_of([account]) if same(each.address) == same(address)), None)
    if found is None:
        raise ValidationFailed(
            gettext("%(account)s may not send from %(address)s: add it to the account's addresses first.")
            % {"account": account.email, "address": address[:320]}
        )
    return found


def sender_named(account: Account, *headers: str) -> SenderIdentity:
    """The account's sender whose address comes first in these header values; its main one if they name none."""
    by_address = {same(each.address): each for each in reversed(senders_of([account]))}
    named = (same(each.address) for header in headers for each in read(header[:_LONGEST], is_decoded=True))
    return next((by_address[each] for each in named if each in by_address), SenderIdentity(account))


_LONGEST = 60_000  # characters of an address header that are parsed
