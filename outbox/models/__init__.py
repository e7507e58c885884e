"""The tables of what goes out: the outbox, its recipients, attachments and attempts, and the rules they obey."""

from outbox.models.attempts import DeliveryAttempt
from outbox.models.messages import OutboxAttachment, OutboxMessage, OutboxRecipient
from outbox.models.policy import AttachmentPolicy, Installation, SendingSwitch
from outbox.models.reports import DeliveryReport, ReportCursor
from outbox.models.sent import SentCopy, SentLookup

__all__ = [
    "AttachmentPolicy",
    "DeliveryAttempt",
    "DeliveryReport",
    "Installation",
    "OutboxAttachment",
    "OutboxMessage",
    "OutboxRecipient",
    "ReportCursor",
    "SendingSwitch",
    "SentCopy",
    "SentLookup",
]
