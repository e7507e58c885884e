"""When a stored secret may be kept without being typed again: never for another server, nor for another CA certificate.

Otherwise whoever got hold of an administrator's session could enter a host, port or CA of their own and have the
password sent there.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from mailbox.credentials import DecryptionFailed
from mailbox.models import Transport

HOST_CHANGED = _("The host has changed, so enter the password or token again: a stored one goes to no other server.")
PORT_CHANGED = _("The port has changed, so enter the password or token again: a stored one goes to no other server.")
CA_CHANGED = _(
    "The extra CA certificate has changed, so enter the password or token again: "
    "a stored one goes to no server that another authority vouches for."
)
OTHER_SERVER = _("To use it for SMTP as well, enter it again: a stored one goes to no other server.")


@dataclass(frozen=True)
class SecretRecipient:
    """The server that a secret is sent to: host, port, and the CA trusted for it besides the system's."""

    host: str
    port: int | None
    ca_certificate: str = ""


def is_other_host(before: str, after: str) -> bool:
    """Whether two names are different hosts; case and a final dot do not matter."""
    return before.strip().lower().rstrip(".") != after.strip().lower().rstrip(".")


def why_other(before: SecretRecipient, after: SecretRecipient) -> str:
    """A sentence that says what differs; "" when nothing does. Removing the extra CA does not count."""
    if is_other_host(before.host, after.host):
        return str(HOST_CHANGED)
    if before.port != after.port:
        return str(PORT_CHANGED)
    ca = after.ca_certificate.split()
    return str(CA_CHANGED) if ca and ca != before.ca_certificate.split() else ""


def has_same_secret(one: Transport, other: Transport) -> bool:
    """Whether both transports have the same secret; False when one cannot be decrypted."""
    try:
        return (one.password, one.oauth_token) == (other.password, other.oauth_token)
    except DecryptionFailed:
        return False


def why_to_type_again(before: Transport, ca_before: str, after: SecretRecipient, secret_of: Transport) -> str:
    """Why the secret must be typed again, as a sentence; "" when the stored one may be kept.

    before, ca_before: the transport and CA as stored. after: the server it is to be sent to. secret_of: the transport
    whose stored secret would be used (SMTP may use IMAP's).
    """
    if reason := why_other(SecretRecipient(before.host, before.port, ca_before), after):
        return reason
    return "" if before.pk == secret_of.pk or has_same_secret(before, secret_of) else str(OTHER_SERVER)
