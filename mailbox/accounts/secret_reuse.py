"""When a stored secret may be kept though nobody typed it: never for another host.

Whoever borrowed an administrator's session could else name a host of their own and have the password sent to it.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from mailbox.credentials import DecryptionFailed
from mailbox.models import Transport

HOST_CHANGED = _("The host has changed, so enter the password or token again: a stored one goes to no other server.")
OTHER_SERVER = _("To use it for SMTP as well, enter it again: a stored one goes to no other server.")


def is_other_host(before: str, after: str) -> bool:
    """Whether two names are two hosts: case and a final dot are none."""
    return before.strip().lower().rstrip(".") != after.strip().lower().rstrip(".")


def holds_same_secret(one: Transport, other: Transport) -> bool:
    """Whether both sign in with one secret; False when it cannot be read."""
    try:
        return (one.password, one.oauth_token) == (other.password, other.oauth_token)
    except DecryptionFailed:
        return False


def why_to_type_again(before: Transport, host: str, secret_of: Transport) -> str:
    """Why the secret of `secret_of`, as stored, may not be kept for this transport at this host; "" when it may."""
    if is_other_host(before.host, host):
        return str(HOST_CHANGED)
    return "" if before.pk == secret_of.pk or holds_same_secret(before, secret_of) else str(OTHER_SERVER)
