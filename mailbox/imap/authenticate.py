"""Signs in: by LOGIN (RFC 3501, 6.2.3), AUTHENTICATE PLAIN if LOGIN is disabled, XOAUTH2 or OAUTHBEARER (RFC 7628).

SASL-IR (RFC 4959) is not used, as some servers refuse a command line as long as a token. The initial response is sent
after the server's "+" (RFC 3501, 6.2.2).
"""

from __future__ import annotations

import imaplib
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailbox.endpoints import Endpoint
from mailbox.imap import fetch as imap_fetch
from mailbox.imap.exceptions import abort_behind
from mailbox.sasl import REFUSAL_ANSWERS, refuses_token, token_mechanism, token_response


def sign_in(client: Any, endpoint: Endpoint) -> str:
    """Sign in by password or token. Returns the server's text. Raises the errors of imaplib and imapclient."""
    if client._imap.state != "NONAUTH":  # the greeting was PREAUTH: already signed in (RFC 3501, 7.1.4)
        return imap_fetch.text(client.welcome)
    if endpoint.oauth_token:
        return _by_token(client, endpoint)
    password = endpoint.password or ""
    if any(ord(character) < 32 for character in password):
        raise IMAPClientError("The password has a line break or control character in it.")
    if client.has_capability("LOGINDISABLED") and "PLAIN" in _offered(client):  # RFC 3501, 6.2.3: no LOGIN then
        answer = client.plain_login(endpoint.user, password)
    elif endpoint.user.isascii() and password.isascii():
        answer = client.login(endpoint.user, password)
    else:
        # A quoted string is ASCII (RFC 3501, 4.3); other characters go as literals, in UTF-8.
        words = [_quoted(client, endpoint.user), _quoted(client, password)]
        status, lines = client._raw_command(b"LOGIN", words, uid=False)
        client._checkok("login", status, lines)
        client._imap.state = "AUTH"
        answer = lines[0]
    return imap_fetch.text(answer)


def _quoted(client: Any, word: str) -> bytes:
    return str(client._imap._quote(word)).encode() if word.isascii() else word.encode()


def _by_token(client: Any, endpoint: Endpoint) -> str:
    """Sign in by OAuth token.

    A server refuses with a challenge that contains JSON, and says NO after the client has answered that (RFC 7628,
    3.2.2; Google, "XOAUTH2 Mechanism", error response). The JSON is added to the error, as it says more than the NO.
    """
    challenges: list[bytes] = []
    mechanism = token_mechanism(_offered(client))

    def answer(challenge: bytes) -> str:
        if challenge.strip():
            challenges.append(challenge)
            return REFUSAL_ANSWERS[mechanism]
        return token_response(mechanism, endpoint)

    try:
        return imap_fetch.text(client.sasl_login(mechanism, answer))
    except (IMAPClientError, imaplib.IMAP4.error) as error:
        trouble = error
    said = imap_fetch.text(challenges[-1]) if challenges else ""
    if said and abort_behind(trouble) is None:
        raise IMAPClientError(f"{trouble} {said}")
    if refuses_token(said):
        raise IMAPClientError(f"The server refused the token and ended the connection. {said}")
    raise trouble


def _offered(client: Any) -> list[str]:
    """The SASL mechanisms that the server offers in its capabilities."""
    names = [imap_fetch.text(capability).upper() for capability in client.capabilities()]
    return [name.removeprefix("AUTH=") for name in names if name.startswith("AUTH=")]
