"""The server's capabilities after sign-in, learned without a round trip of their own.

The list may change at sign-in (RFC 3501, 6.1.1). Dovecot, Gmail and Cyrus state it in the answer to LOGIN. For other
servers CAPABILITY is sent in one packet with EXAMINE, and the form of EXAMINE follows a guess.
"""

from __future__ import annotations

from typing import Any

from mailbox.endpoints import Endpoint

MOST_KEPT = 1000
OF_EXAMINE = {b"ENABLE", b"CONDSTORE", b"QRESYNC", b"UTF8=ONLY"}
# Last capabilities after sign-in, by host, port and user, of servers that do not state them unasked.
_last_said: dict[tuple[str, int, str], tuple[bytes, ...]] = {}
_without_condstore: set[tuple[str, int, str]] = set()  # they offer CONDSTORE but refuse EXAMINE (CONDSTORE)


def ask(client: Any, endpoint: Endpoint) -> bool:
    """Queue CAPABILITY to be sent with the next command, unless the list after sign-in is known. Returns whether it was
    queued.

    Until learn() has read the answer, `client` uses a guess: the list of the account's last session, else the list
    before sign-in.
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
    """Take the list from the responses that came before the end of EXAMINE; without one the guess stays."""
    lines = answer.pop(b"CAPABILITY", None)
    if not lines:
        return
    client._cached_capabilities = client._normalise_capabilites(lines[-1])
    if len(_last_said) >= MOST_KEPT:
        _last_said.clear()
    _last_said[_key(endpoint)] = client._cached_capabilities


def was_wrong(client: Any) -> bool:
    """Whether the guess was wrong about a capability that changes the form of EXAMINE. Makes the real list current."""
    guess = client._cached_capabilities
    client._cached_capabilities = None  # the next line reads it from the responses, or asks the server again
    return bool(OF_EXAMINE & set(guess) != OF_EXAMINE & set(client.capabilities()))


def distrust_condstore(endpoint: Endpoint) -> None:
    """Remember, in this process, that the account's server refuses EXAMINE with CONDSTORE (RFC 7162, 3.1.8)."""
    if len(_without_condstore) >= MOST_KEPT:
        _without_condstore.clear()
    _without_condstore.add(_key(endpoint))


def is_condstore_refused(endpoint: Endpoint) -> bool:
    """Whether a session of this process found that the server refuses it; at MOST_KEPT accounts all are forgotten."""
    return _key(endpoint) in _without_condstore


def _key(endpoint: Endpoint) -> tuple[str, int, str]:
    return endpoint.host, endpoint.port, endpoint.user
