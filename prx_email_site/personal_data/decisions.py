"""What is to be done with a row in which the address stands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from prx_email_site.personal_data.tables import Way


class ErasureOutcome(StrEnum):
    REMOVED = "removed"
    EMPTIED = "emptied"  # the row stays for what must not happen twice, without content and without the address
    MASKED = "masked"
    HELD = "held"  # a legal hold keeps it
    WAITS = "waits"  # it may still go out, or a person must decide about it
    KEY = "key"  # likewise, but for its idempotency key, which holds the address and must still be known
    MENTIONED = "mentioned"  # mail of others that only mentions the address
    KEPT = "kept"  # see the table's reason


STAYS = (
    ErasureOutcome.HELD,
    ErasureOutcome.WAITS,
    ErasureOutcome.KEY,
    ErasureOutcome.MENTIONED,
    ErasureOutcome.KEPT,
)  # named in the report
KEY_IS_KNOWN_FOR = timedelta(days=30)  # as retention promises to programs that repeat a request


@dataclass(frozen=True)
class Facts:
    """What is known of a row. `is_theirs`: the address stands in its own columns, and not in texts alone."""

    is_theirs: bool = True
    is_held: bool = False
    is_over: bool = True
    has_key: bool = False  # an idempotency key with the address in it
    written_at: datetime | None = None


def decide(way: Way, facts: Facts, now: datetime, *, mentions: bool) -> ErasureOutcome:
    """`mentions`: mail that only mentions the address is meant, too."""
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
    # Of a draft a part can go; a mail's stored bytes go as a whole.
    return ErasureOutcome.REMOVED if facts.is_theirs or way == Way.RECEIVED else ErasureOutcome.MASKED
