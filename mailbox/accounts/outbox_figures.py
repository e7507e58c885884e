"""Sending figures of accounts, requested from outbox by a signal, since mailbox must not import it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailbox.models import Account
from mailbox.signals import outbox_figures_asked


@dataclass(frozen=True)
class OutboxFigures:
    """Figures of one account, in mails. `sent_today`: since midnight of the reader's zone."""

    queued: int = 0  # waiting to be sent, retries included
    failed: int = 0  # failed for good: waiting for a person
    uncertain: int = 0  # may or may not have gone out
    sent_today: int = 0
    last_sent_at: datetime | None = None
    last_sent: int | None = None  # pk of that mail in the outbox


def figures_of(account_ids: Collection[int], midnight: datetime, *, is_list: bool) -> dict[int, OutboxFigures]:
    """account pk -> figures; two queries for a list of accounts (`is_list`), one for the page of one account."""
    if not account_ids:
        return {}
    answers: Any = outbox_figures_asked.send(
        sender=Account, account_ids=account_ids, midnight=midnight, is_list=is_list
    )
    return {pk: figures for _receiver, found in answers for pk, figures in found.items()}
