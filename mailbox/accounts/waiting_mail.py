"""How much mail waits behind SMTP servers that fail. The outbox knows, and is asked only where one fails."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from mailbox.accounts.transport_health import sending_fails
from mailbox.models import Account
from mailbox.signals import waiting_mail_asked


def of_failing(accounts: Iterable[Account], now: datetime) -> dict[int, int]:
    """Account pk -> mails that wait, of those accounts (selected with their transports) whose SMTP server fails.

    One query where some server fails, none else.
    """
    failing = [account.pk for account in accounts if sending_fails(account, now)]
    if not failing:
        return {}
    answers: Any = waiting_mail_asked.send(sender=Account, account_ids=failing)
    return {pk: count for _receiver, found in answers for pk, count in found.items()}
