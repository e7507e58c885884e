"""How much mail is waiting for SMTP servers that fail; requested from outbox by a signal, if any server fails."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from mailbox.accounts.transport_health import sending_fails
from mailbox.models import Account
from mailbox.signals import waiting_mail_asked


def of_failing(accounts: Iterable[Account], now: datetime) -> dict[int, int]:
    """account pk -> number of waiting mails, for those of `accounts` whose SMTP server fails.

    `accounts` must have been read with their transports. One query if any server fails, else none.
    """
    failing = [account.pk for account in accounts if sending_fails(account, now)]
    if not failing:
        return {}
    answers: Any = waiting_mail_asked.send(sender=Account, account_ids=failing)
    return {pk: count for _receiver, found in answers for pk, count in found.items()}
