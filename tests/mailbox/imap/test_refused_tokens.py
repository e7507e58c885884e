"""A token that is refused by the challenge alone: Dovecot 2.3.21 crashes at the client's answer to it."""

from __future__ import annotations

import base64
import re

import pytest

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, NetworkError, SignInRefused
from mailbox.imap.session import ImapSession
from tests.fuzz.servers import Said, answered_by


@pytest.mark.parametrize(
    ("said", "meaning"),
    [('{"status":"401"}', SignInRefused), ('{"status":"503"}', NetworkError), ("", NetworkError)],
)
def test_a_server_that_ends_behind_its_challenge_has_refused_the_token_if_that_said_so(
    said: str, meaning: type[MailError]
) -> None:
    challenge = b"+ " + base64.b64encode(said.encode())
    answers = Said(b"* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] ready\r\n\0+ \r\n\0" + challenge + b"\r\n")
    by_token = Endpoint("imap.example.com", 993, "tls", "ann", oauth_token="t0ken")
    with answered_by(answers), pytest.raises(meaning, match=re.escape(said) if meaning is SignInRefused else ""):
        ImapSession.open(by_token, connect_timeout=5, command_timeout=5)
