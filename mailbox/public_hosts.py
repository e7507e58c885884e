"""Connects to a mail server, with a check that its addresses are on the public Internet where that is required.

The check is made at each connection and not only when the host is entered, since the name may resolve to another
address by then (DNS rebinding). The name is resolved once, so that the checked addresses are those connected to.
"""

from __future__ import annotations

import ipaddress
import socket
import time

from mailbox import network, safe_http


class NotPublic(network.NotMade):
    """The host has an address that is not on the public Internet, and no administrator has allowed it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} is not on the public Internet, so no connection was made. An administrator of all accounts can "
            "allow this host by saving the account's settings."
        )


def is_private_literal(host: str) -> bool:
    """Whether the host is an address of this machine or an inner network; decided without DNS."""
    name = host.strip().lower().rstrip(".").removeprefix("[").removesuffix("]")
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        # inet_aton(3), as resolvers do: 127.1, 0x7f000001 and 2130706433 are 127.0.0.1 as well.
        address = ipaddress.ip_address(name) if ":" in name else ipaddress.ip_address(socket.inet_aton(name))
    except (ValueError, OSError):
        return False
    return not safe_http.is_public(address)


def connect(host: str, port: int, seconds: float, *, public_only: bool) -> socket.socket:
    """Connect to the first of the host's addresses that answers; `seconds` is for all of them together.

    Raises OSError; NotPublic when `public_only` and one of the addresses is not public.
    """
    network.demand()
    deadline = time.monotonic() + seconds
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if public_only:
        addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
        if not all(safe_http.is_public(each) for each in addresses):
            raise NotPublic(host)
    for index, (*_, address) in enumerate(found):
        left = max(0.1, deadline - time.monotonic()) / (len(found) - index)
        try:
            return socket.create_connection(address[:2], timeout=left)  # type: ignore[arg-type]
        except OSError:
            if index == len(found) - 1:
                raise
    raise OSError(f"{host} has no address")
