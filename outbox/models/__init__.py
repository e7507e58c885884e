"""The tables of outgoing mail: the outbox with recipients, attachments and attempts, drafts, reports and policies."""

from outbox.models.attempts import DeliveryAttempt
from outbox.models.drafts import AddressCursor, Draft, DraftFile, KnownAddress
from outbox.models.messages import OutboxAttachment, OutboxCount, OutboxMessage, OutboxRecipient
from outbox.models.operations import Operation, OperationRow
from outbox.models.policy import AttachmentPolicy, Installation, SendingSwitch
from outbox.models.reports import DeliveryReport, ReportCursor
from outbox.models.saved_replies import SavedReply
from outbox.models.sent import SentCopy, SentLookup
from outbox.models.suppression import SuppressedAddress
from outbox.models.turns import DeliveryCall, SendPace

__all__ = [
    "AddressCursor",
    "AttachmentPolicy",
    "DeliveryAttempt",
    "DeliveryCall",
    "DeliveryReport",
    "Draft",
    "DraftFile",
    "Installation",
    "KnownAddress",
    "Operation",
    "OperationRow",
    "OutboxAttachment",
    "OutboxCount",
    "OutboxMessage",
    "OutboxRecipient",
    "ReportCursor",
    "SavedReply",
    "SendPace",
    "SendingSwitch",
    "SentCopy",
    "SentLookup",
    "SuppressedAddress",
]
