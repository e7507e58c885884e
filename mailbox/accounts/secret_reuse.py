"""When a stored secret may be kept though nobody typed it: never for another server, nor for another authority of TLS.

Whoever borrowed an administrator's session could else name a host or port of their own, or trust a certificate of their
own, and have the password sent there.
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
    """Whom a secret is sent to: a host and port, and whose certificates are believed beside the system's."""

    host: str
    port: int | None
    ca_certificate: str = ""


def is_other_host(before: str, after: str) -> bool:
    """Whether two names are two hosts: case and a final dot are none."""
    return before.strip().lower().rstrip(".") != after.strip().lower().rstrip(".")


def why_other(before: SecretRecipient, after: SecretRecipient) -> str:
    """Why the one is not the other, as a sentence; "" when they are the same. Taking the extra CA away is no reason."""
    if is_other_host(before.host, after.host):
        return str(HOST_CHANGED)
    if before.port != after.port:
        return str(PORT_CHANGED)
    ca = after.ca_certificate.split()
    return str(CA_CHANGED) if ca and ca != before.ca_certificate.split() else ""


def has_same_secret(one: Transport, other: Transport) -> bool:
    """Whether both sign in with one secret; False when it cannot be read."""
    try:
        return (one.password, one.oauth_token) == (other.password, other.oauth_token)
    except DecryptionFailed:
        return False


def why_to_type_again(before: Transport, ca_before: str, after: SecretRecipient, secret_of: Transport) -> str:
    """Why the secret of `secret_of`, as stored, may not be kept for this transport there; "" when it may."""
    if reason := why_other(SecretRecipient(before.host, before.port, ca_before), after):
        return reason
    return "" if before.pk == secret_of.pk or has_same_secret(before, secret_of) else str(OTHER_SERVER)
