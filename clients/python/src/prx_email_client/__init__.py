"""Send and read mail through PRX-Email Site by its HTTP API."""

from prx_email_client.client import (
    Account,
    Client,
    ClientError,
    Mail,
    MessageHead,
    Need,
    OutboxHead,
    Refused,
    SendState,
    Suppressed,
    Unreachable,
)

__all__ = [
    "Account",
    "Client",
    "ClientError",
    "Mail",
    "MessageHead",
    "Need",
    "OutboxHead",
    "Refused",
    "SendState",
    "Suppressed",
    "Unreachable",
]
