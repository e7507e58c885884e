"""Send and read mail through PRX-Email Site by its HTTP API."""

from prx_email_client.client import Client, ClientError, Refused, Unreachable
from prx_email_client.shapes import (
    Account,
    Alias,
    Completeness,
    Feature,
    Mail,
    MessageHead,
    Need,
    OutboxHead,
    SendState,
    Suppressed,
)

__all__ = [
    "Account",
    "Alias",
    "Client",
    "ClientError",
    "Completeness",
    "Feature",
    "Mail",
    "MessageHead",
    "Need",
    "OutboxHead",
    "Refused",
    "SendState",
    "Suppressed",
    "Unreachable",
]
