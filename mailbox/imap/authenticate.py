"""LOGIN (RFC 3501, 6.2.3) and AUTHENTICATE XOAUTH2."""

from __future__ import annotations

import imaplib
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailbox.endpoints import Endpoint, xoauth2
from mailbox.imap import fetch as imap_fetch


def sign_in(client: Any, endpoint: Endpoint) -> str:
    """Sign in by password or token; returns the server's words. Raises what the libraries raise."""
    if endpoint.oauth_token:
        return _by_token(client, endpoint.user, endpoint.oauth_token)
    password = endpoint.password or ""
    if any(ord(character) < 32 for character in password):
        raise IMAPClientError("The password has a line break or control character in it.")
    if endpoint.user.isascii() and password.isascii():
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


def _by_token(client: Any, user: str, token: str) -> str:
    """AUTHENTICATE XOAUTH2. A refusal comes as a challenge with JSON in it, to be answered with an empty line before
    the server says NO (Google, "XOAUTH2 Mechanism", error response); its JSON says more than the NO does."""
    challenges: list[bytes] = []

    def answer(challenge: bytes) -> str:
        if challenge.strip():
            challenges.append(challenge)
            return ""
        return xoauth2(user, token)

    try:
        answered = client.sasl_login("XOAUTH2", answer)
    except (IMAPClientError, imaplib.IMAP4.error) as error:
        if challenges and not isinstance(error, imaplib.IMAP4.abort):
            raise IMAPClientError(f"{error} {imap_fetch.text(challenges[-1])}") from None
        raise
    return imap_fetch.text(answered)
