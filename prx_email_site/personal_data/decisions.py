"""Decides what is to be done with a row that contains the address. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from prx_email_site.personal_data.tables import Way


class ErasureOutcome(StrEnum):
    """What an erasure does with a row."""

    REMOVED = "removed"
    EMPTIED = "emptied"  # the row stays, so that the mail is not sent twice, without its content and the address
    MASKED = "masked"  # the address is replaced by its placeholder
    HELD = "held"  # a legal hold keeps the row
    WAITS = "waits"  # its mail may still be sent, or a person must decide about it
    KEY = "key"  # emptied, but keeps for now an idempotency key that contains the address
    MENTIONED = "mentioned"  # mail of others that only mentions the address
    KEPT = "kept"  # for the table's reason (PersonalTable.why)


STAYS = (
    ErasureOutcome.HELD,
    ErasureOutcome.WAITS,
    ErasureOutcome.KEY,
    ErasureOutcome.MENTIONED,
    ErasureOutcome.KEPT,
)  # the report lists these rows
KEY_IS_KNOWN_FOR = timedelta(days=30)  # retention promises this time to programs that repeat a request


@dataclass(frozen=True)
class Facts:
    """What is known of a row. is_theirs: the address is in PersonalTable.columns, not only in `mentions`."""

    is_theirs: bool = True
    is_held: bool = False
    is_over: bool = True
    has_key: bool = False  # an idempotency key with the address in it
    written_at: datetime | None = None


def decide(way: Way, facts: Facts, now: datetime, *, mentions: bool) -> ErasureOutcome:
    """What to do with a row. mentions: erase mail too that only mentions the address."""
    if way == Way.KEEP:
        return ErasureOutcome.KEPT
    if facts.is_held:
        return ErasureOutcome.HELD
    if way == Way.MASK:
        return ErasureOutcome.MASKED if facts.is_over else ErasureOutcome.WAITS
    if not facts.is_theirs and not mentions and way in (Way.RECEIVED, Way.SENT):
        return ErasureOutcome.MENTIONED
    if way == Way.SENT:
        if not facts.is_over:
            return ErasureOutcome.WAITS
        is_known = facts.written_at is not None and facts.written_at > now - KEY_IS_KNOWN_FOR
        return ErasureOutcome.KEY if facts.has_key and is_known else ErasureOutcome.EMPTIED
    # A draft can lose only the address; the stored bytes of a received mail can only be removed as a whole.
    return ErasureOutcome.REMOVED if facts.is_theirs or way == Way.RECEIVED else ErasureOutcome.MASKED
