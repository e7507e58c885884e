"""The client's address of a request that may have passed through proxies.

Clients can write X-Forwarded-For too, so only entries that a trusted proxy appended count. The header is read from its
end, for as long as the address that appended the entry is in PRX_EMAIL_TRUSTED_PROXIES.
"""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
IPV6_PREFIX = 64  # a customer has at least such a network (RFC 6177), so each attempt could use another address


def client_address(request: HttpRequest) -> str:
    """The address of the client; "" when the server names none (a Unix socket without a trusted header)."""
    address = _parsed(request.META.get("REMOTE_ADDR", ""))
    hops = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    while address is not None and _is_trusted(address) and hops:
        before = _parsed(hops.pop())
        if before is None:  # not an address, so earlier entries cannot be trusted either
            break
        address = before
    return str(address) if address is not None else ""


def counted_address(request: HttpRequest) -> str:
    """The key by which failed sign-ins are counted: an IPv4 address, or the /64 network of an IPv6 address."""
    found = client_address(request)
    if ":" not in found:
        return found or "0.0.0.0"  # noqa: S104 - no socket is bound: one count for all clients without an address
    return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False).network_address)


def _parsed(text: str) -> Address | None:
    """The address in this text, which may have a port, or brackets around IPv6; None when it is none."""
    text = text.partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)
