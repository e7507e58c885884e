"""SASL (RFC 4422) with an OAuth access token: the client's responses, which are the same in IMAP and SMTP. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection

from mailbox.endpoints import Endpoint


def xoauth2(user: str, token: str) -> str:
    """The initial client response of SASL XOAUTH2, before base64 (Google, "XOAUTH2 Mechanism")."""
    return f"user={user}\x01auth=Bearer {token}\x01\x01"


def oauthbearer(user: str, token: str, host: str, port: int) -> str:
    """The initial client response of SASL OAUTHBEARER, before base64 (RFC 7628 3.1; the name by RFC 5801 4)."""
    name = user.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"


def token_mechanism(offered: Collection[str]) -> str:
    """Which SASL mechanism carries the token: XOAUTH2, or OAUTHBEARER where only that is offered."""
    names = {name.upper() for name in offered}
    return "OAUTHBEARER" if "OAUTHBEARER" in names and "XOAUTH2" not in names else "XOAUTH2"


def token_response(mechanism: str, endpoint: Endpoint) -> str:
    """The initial client response of this mechanism with the endpoint's token, before base64."""
    token = endpoint.oauth_token or ""
    if mechanism == "OAUTHBEARER":
        return oauthbearer(endpoint.user, token, endpoint.host, endpoint.port)
    return xoauth2(endpoint.user, token)


# What the client answers to the challenge with which a refusal begins, before base64: nothing (Google, "XOAUTH2
# Mechanism"), or one control-A (RFC 7628 3.2.3).
REFUSAL_ANSWERS = {"XOAUTH2": "", "OAUTHBEARER": "\x01"}


def refuses_token(challenge: str) -> bool:
    """Whether a challenge, decoded, says by itself that the token is refused: JSON with a status (RFC 7628 3.2.2) other
    than 5xx. For servers that end the connection before they say so by a reply, as Dovecot 2.3.21, which crashes then.
    """
    try:
        said = json.loads(challenge)
    except ValueError:
        return False
    status = str(said.get("status", "")) if isinstance(said, dict) else ""
    return bool(status) and not (len(status) == 3 and status.startswith("5"))
