"""Send and read mail through PRX-Email Site by its HTTP API."""

from prx_email_client.calls import ClientError, EventsMissed, Refused, Unreachable
from prx_email_client.client import Client
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
    "Alias",
    "Client",
    "ClientError",
    "Completeness",
    "Event",
    "EventsMissed",
    "Feature",
    "File",
    "Mail",
    "MessageHead",
    "Need",
    "OutboxHead",
    "Refused",
    "Reply",
    "SendState",
    "Suppressed",
    "Unreachable",
]
