"""Which servers an account may have that an administrator of some accounts sets up.

"Test connection" would else tell such a person which hosts and ports of the inner network answer. The form refuses what
is plainly wrong; what a name means is judged when it is connected to (mailbox.public_hosts).
"""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext

from mailbox.endpoints import MAIL_PORTS
from mailbox.models import Transport
from mailbox.public_hosts import is_private_literal


def judge(transport: Transport, before: Transport | None, *, any_server: bool) -> dict[str, str]:
    """Note on the transport whether its host may be private; what is wrong as sentences for "host" and "port".

    Who may not choose any server is bound to the public Internet from the moment another than `before` is chosen.
    """
    if any_server:
        transport.private_host_allowed = True
    elif before is None or (before.host, before.port) != (transport.host, transport.port):
        transport.private_host_allowed = False
        return why_not_allowed(transport.kind, transport.host, transport.port)
    return {}


def why_not_allowed(kind: str, host: str, port: int) -> dict[str, str]:
    """What is wrong, as a sentence for "host" or "port"; {} when nothing is. `kind`: "imap" or "smtp"."""
    found = {}
    if is_private_literal(host) and not settings.ACCOUNT_ALLOW_PRIVATE:
        found["host"] = gettext("Only an administrator of all accounts may choose a host of an inner network.")
    if port and port not in MAIL_PORTS[kind]:
        ports = ", ".join(map(str, MAIL_PORTS[kind]))
        found["port"] = gettext("Only an administrator of all accounts may choose another port than %(ports)s.") % {
            "ports": ports
        }
    return found
