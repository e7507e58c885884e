"""The tables of what goes out: the outbox, its recipients, attachments and attempts, and the rules they obey."""

from outbox.models.attempts import DeliveryAttempt
from outbox.models.messages import OutboxAttachment, OutboxMessage, OutboxRecipient
from outbox.models.policy import AttachmentPolicy, Installation, SendingSwitch

__all__ = [
    "AttachmentPolicy",
    "DeliveryAttempt",
    "Installation",
    "OutboxAttachment",
    "OutboxMessage",
    "OutboxRecipient",
    "SendingSwitch",
]
