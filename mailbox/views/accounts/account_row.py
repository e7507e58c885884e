"""An account as pages and their CSV show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailbox.accounts.condition import AccountNotice
from mailbox.accounts.outbox_figures import OutboxFigures
from mailbox.models import Account


@dataclass(frozen=True)
class AccountRow:
    """An account as a page shows it: its health in words, and the buttons the user may press."""

    account: Account
    conditions: list[AccountNotice]
    up_to_date_at: datetime | None
    may_operate: bool
    may_administer: bool
    figures: OutboxFigures | None = None

    @property
    def worst(self) -> AccountNotice:
        """The most urgent statement about its health."""
        return self.conditions[0]
