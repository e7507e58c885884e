"""Which servers an account may have when the person who sets it up administers some accounts only.

Such a person could otherwise use "Test connection" to scan hosts and ports of the inner network. The form refuses
private addresses and unusual ports; what a host name resolves to is checked at each connection (mailbox.public_hosts).
"""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext

from mailbox.endpoints import MAIL_PORTS
from mailbox.localized import listed
from mailbox.models import Transport
from mailbox.public_hosts import is_private_literal


def judge(transport: Transport, before: Transport | None, *, any_server: bool) -> dict[str, str]:
    """Set `transport.private_host_allowed`; return what is wrong, as sentences by field ("host", "port").

    any_server: whether the person may choose any server. before: the stored transport, None for a new account; a server
    that stays as it was keeps its permission.
    """
    if any_server:
        transport.private_host_allowed = True
    elif before is None or (before.host, before.port) != (transport.host, transport.port):
        transport.private_host_allowed = False
        return why_not_allowed(transport.kind, transport.host, transport.port)
    return {}


def why_not_allowed(kind: str, host: str, port: int) -> dict[str, str]:
    """What is wrong with a server, as sentences by field; {} when nothing is. `kind`: "imap" or "smtp"."""
    found = {}
    if is_private_literal(host) and not settings.ACCOUNT_ALLOW_PRIVATE:
        found["host"] = gettext("Only an administrator of all accounts may choose a host of an inner network.")
    if port and port not in MAIL_PORTS[kind]:
        ports = listed(MAIL_PORTS[kind])
        found["port"] = gettext("Only an administrator of all accounts may choose another port than %(ports)s.") % {
            "ports": ports
        }
    return found
