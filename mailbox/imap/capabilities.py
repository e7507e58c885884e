"""What a server can do: taken where it says so unasked, and asked for without a round trip of its own where not.

After sign-in the list may be another (RFC 3501, 6.1.1). Dovecot, Gmail and Cyrus say it with the answer to LOGIN.
"""

from __future__ import annotations

from typing import Any

from mailbox.endpoints import Endpoint

MOST_KEPT = 1000
OF_EXAMINE = {b"ENABLE", b"CONDSTORE", b"QRESYNC", b"UTF8=ONLY"}
# What servers that do not say it by themselves said of an account last time, by host, port and user.
_last_said: dict[tuple[str, int, str], tuple[bytes, ...]] = {}
_without_condstore: set[tuple[str, int, str]] = set()  # they offer it, and answer EXAMINE (CONDSTORE) with BAD


def ask(client: Any, endpoint: Endpoint) -> bool:
    """Say CAPABILITY with the next command, unless the list after sign-in is known; whether it was said.

    Until learn() has read the answer `client` goes by what was said last time, else by what was said before sign-in.
    """
    beneath = client._imap
    if client._cached_capabilities or beneath.state != "AUTH" or "CAPABILITY" in beneath.untagged_responses:
        return False
    guess = _last_said.get(_key(endpoint)) or client._normalise_capabilites(" ".join(beneath.capabilities))
    with beneath.corked():
        beneath._command("CAPABILITY")
    client._cached_capabilities = guess
    return True


def learn(client: Any, endpoint: Endpoint, answer: dict[bytes, Any]) -> None:
    """Take the list from among what was read until EXAMINE was answered; without one the guess stands."""
    lines = answer.pop(b"CAPABILITY", None)
    if not lines:
        return
    client._cached_capabilities = client._normalise_capabilites(lines[-1])
    if len(_last_said) >= MOST_KEPT:
        _last_said.clear()
    _last_said[_key(endpoint)] = client._cached_capabilities


def was_wrong(client: Any) -> bool:
    """Whether what we went by differs, in what decides how EXAMINE is said, from what the server answered."""
    guess = client._cached_capabilities
    client._cached_capabilities = None  # read from what came; where that is lost, asked for and waited for
    return bool(OF_EXAMINE & set(guess) != OF_EXAMINE & set(client.capabilities()))


def distrust_condstore(endpoint: Endpoint) -> None:
    if len(_without_condstore) >= MOST_KEPT:
        _without_condstore.clear()
    _without_condstore.add(_key(endpoint))


def is_condstore_refused(endpoint: Endpoint) -> bool:
    return _key(endpoint) in _without_condstore


def _key(endpoint: Endpoint) -> tuple[str, int, str]:
    return endpoint.host, endpoint.port, endpoint.user
