"""The source of a mail's state: the server, a person, the Sent folder, or a check before any connection."""

from __future__ import annotations

from django.utils.translation import gettext

from outbox.models import DeliveryAttempt, OutboxMessage


def was_not_asked(row: OutboxMessage) -> bool:
    """Whether it failed without the server's refusal: too large for its SIZE, or in need of an extension it lacks."""
    if row.recipients.filter(reply_code__isnull=False).exists():
        return False
    code = row.attempts.filter(number=row.last_attempt).values_list("reply_code", flat=True)
    return list(code) == [None]


def sent_words(row: OutboxMessage) -> str:
    """Who says that it was sent: the server, a look into Sent, or a person."""
    if getattr(row, "all_bounced", False):
        return gettext("The server accepted it, and later it came back for every recipient: nobody has it.")
    last = row.attempts.filter(number=row.last_attempt).select_related("sent_lookup").first()
    if last is None or last.outcome in (DeliveryAttempt.Outcome.ACCEPTED, DeliveryAttempt.Outcome.PARTIAL):
        return gettext("The server has accepted it for every recipient.")
    if getattr(last, "sent_lookup", None) and last.sent_lookup.found_in:
        return gettext("It went out: it was found in the account's Sent folder.")
    return gettext("A person marked it as sent. The server's answer is not known.")
