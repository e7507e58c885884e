"""A connection to Redis by PRX_EMAIL_BROKER_URL, which may name Sentinels that know the present master.

redis-py reads addresses of a server and has a client for Sentinel, but no address of one:
redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT],HOST[:PORT],.../MASTER[/DATABASE]
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.sentinel import Sentinel

SCHEME = "redis+sentinel"
PORT = 26379
FORM = f"{SCHEME}://[:PASSWORD@]HOST[:PORT],HOST[:PORT],.../MASTER[/DATABASE]"


class AddressUnusable(ValueError):
    """The address cannot be read; the text says what it must be."""


def connect(address: str, **limits: Any) -> redis.Redis[bytes]:
    """A client of the server, or of whichever server the Sentinels name when it connects. No connection is made here.

    limits: redis-py's own, for the server and for each Sentinel. Raises AddressUnusable.
    """
    if not address.startswith(f"{SCHEME}:"):
        try:
            client: redis.Redis[bytes] = redis.from_url(address, **limits)
        except ValueError as error:
            raise AddressUnusable(f"{error}, or {FORM}.") from error
        return client
    sentinels, master, options = read_sentinels(address)
    found: redis.Redis[bytes] = Sentinel(sentinels, sentinel_kwargs=limits, **limits).master_for(master, **options)
    return found


def read_sentinels(address: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """(hosts and ports of the Sentinels, the master's name, options of connections to it). Raises AddressUnusable."""
    places, _, path = address.removeprefix(f"{SCHEME}://").partition("/")
    credentials, _, hosts = places.rpartition("@")
    user, _, password = credentials.partition(":")
    master, _, number = path.strip("/").partition("/")
    try:
        sentinels = [_host_and_port(each) for each in hosts.split(",")]
        options: dict[str, Any] = {"db": int(number or "0")}
    except ValueError:
        master = ""
    if not master:
        raise AddressUnusable(f"The address of Sentinels must be {FORM}.")
    options |= {"username": unquote(user)} if user else {}
    options |= {"password": unquote(password)} if password else {}
    return sentinels, unquote(master), options


def _host_and_port(text: str) -> tuple[str, int]:
    found = urlsplit(f"//{text}")
    if not found.hostname:
        raise ValueError(text)
    return found.hostname, found.port or PORT
