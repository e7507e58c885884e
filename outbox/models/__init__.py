"""The tables of what goes out: the outbox, its recipients, attachments and attempts, and the rules they obey."""

from outbox.models.attempts import DeliveryAttempt
from outbox.models.messages import OutboxAttachment, OutboxMessage, OutboxRecipient
from outbox.models.policy import AttachmentPolicy, Installation, SendingSwitch
from outbox.models.reports import DeliveryReport, ReportCursor
from outbox.models.sent import SentCopy, SentLookup
from outbox.models.turns import CourierSlot, DeliveryCall, SendPace

__all__ = [
    "AttachmentPolicy",
    "CourierSlot",
    "DeliveryAttempt",
    "DeliveryCall",
    "DeliveryReport",
    "Installation",
    "OutboxAttachment",
    "OutboxMessage",
    "OutboxRecipient",
    "ReportCursor",
    "SendPace",
    "SendingSwitch",
    "SentCopy",
    "SentLookup",
]
