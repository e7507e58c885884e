"""Send and read mail through PRX-Email Site by its HTTP API."""

from prx_email_client.calls import ClientError, EventsMissed, Refused, Unreachable
from prx_email_client.client import Client
from prx_email_client.resources import Answer
from prx_email_client.rows import (
    AlertRule,
    ConversationPiece,
    Draft,
    ListedAttachment,
    Person,
    SavedReply,
    Token,
    Webhook,
)
from prx_email_client.shapes import (
    Account,
    Alias,
    Completeness,
    Event,
    Feature,
    File,
    Mail,
    MessageHead,
    Need,
    OutboxHead,
    Reply,
    SendState,
    Suppressed,
)

__all__ = [
    "Account",
    "AlertRule",
    "Alias",
    "Answer",
    "Client",
    "ClientError",
    "Completeness",
    "ConversationPiece",
    "Draft",
    "Event",
    "EventsMissed",
    "Feature",
    "File",
    "ListedAttachment",
    "Mail",
    "MessageHead",
    "Need",
    "OutboxHead",
    "Person",
    "Refused",
    "Reply",
    "SavedReply",
    "SendState",
    "Suppressed",
    "Token",
    "Unreachable",
    "Webhook",
]
