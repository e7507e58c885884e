"""Quarantines mail that could not be fetched, parsed or stored, with its error, subject and sender."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from mailbox.mime.message import header_lines
from mailbox.models import Folder, Quarantine

logger = logging.getLogger(__name__)
HEAD_BYTES = 64_000  # of a mail that are read for its subject and sender
HEAD_LONGEST = 300  # characters, the columns' length


@dataclass(frozen=True)
class MailHead:
    """Subject and sender, by which a person recognises the mail; "" if they cannot be read."""

    subject: str = ""
    sender: str = ""

    @classmethod
    def of(cls, raw: bytes) -> MailHead:
        """Read the first HEAD_BYTES of a mail that could not be parsed or stored. Never raises, whatever the bytes."""
        try:
            lines = {name.lower(): value for name, value in reversed(header_lines(raw[:HEAD_BYTES]))}
        except Exception:
            logger.exception("header_unreadable")
            return cls()
        subject, sender = (lines.get(name, "").replace("\0", "\ufffd")[:HEAD_LONGEST] for name in ("subject", "from"))
        return cls(subject, sender)


def quarantine(
    folder: Folder,
    uidvalidity: int,
    uid: int,
    size: int | None,
    error: str,
    now: datetime,
    raw: bytes | None = None,
) -> None:
    """Quarantine a mail with its error, or count a further failure of one. Call it in a transaction. size: bytes.

    raw: the mail's bytes, or those of its header, if they were fetched.
    """
    place, error = Q(folder=folder, uidvalidity=uidvalidity, uid=uid), error.replace("\0", "\ufffd")
    head = MailHead.of(raw) if raw else MailHead()
    if head != MailHead():  # an unknown head does not replace that of an earlier try
        Quarantine.objects.filter(place).update(subject=head.subject, sender=head.sender)
    again = Quarantine.objects.filter(place).update(
        attempts=F("attempts") + 1,
        last_failed_at=now,
        error=error,
        fetch_requested_at=None,
        resolved_at=None,
    )
    if not again:
        Quarantine.objects.create(
            account_id=folder.account_id,
            folder=folder,
            uidvalidity=uidvalidity,
            uid=uid,
            size=size,
            subject=head.subject,
            sender=head.sender,
            error=error,
            first_failed_at=now,
            last_failed_at=now,
        )
