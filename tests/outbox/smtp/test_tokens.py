"""Tokens of every length and both ways to send one, with a real Dovecot on both protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from imapclient import IMAPClient

from mailbox import sasl
from mailbox.endpoints import Endpoint
from mailbox.errors import SignInRefused
from mailbox.imap import authenticate
from mailbox.imap.session import ImapSession
from mailbox.models import Account
from mailbox.sasl import token_mechanism
from outbox import api
from outbox.models import OutboxMessage
from outbox.smtp import session as smtp_session
from outbox.smtp.session import LONGEST_COMMAND
from tests.outbox.smtp.pipelined import Start
from tests.servers.dovecot import Dovecot
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_dialogue import Dialogue
from tests.servers.smtp_faults import Drop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
Accounts = Callable[..., Account]
PADDINGS = [0, 300, 900, 3600]  # the last makes a token of 5,000 characters


def with_token(make_account: Accounts, user: str, token: str) -> Account:
    tokens = {f"{kind}_{name}": value for kind in ("imap", "smtp") for name, value in
              (("password", None), ("oauth_token", token))}  # fmt: skip
    return make_account(user, **tokens)


def imap_sign_in(account: Account, token: str) -> None:
    endpoint = replace(account.imap_endpoint(), oauth_token=token)
    ImapSession.open(endpoint, connect_timeout=10, command_timeout=10).close()


@pytest.fixture(params=["XOAUTH2", "OAUTHBEARER"])
def mechanism(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What Dovecot is taken to offer; it offers both. It is what each sign-in by IMAP then used."""
    offered, written, used = IMAPClient.capabilities, authenticate.token_response, set()
    others = {f"AUTH={each}".encode() for each in ("XOAUTH2", "OAUTHBEARER") if each != request.param}

    def response(mechanism: str, endpoint: Endpoint) -> str:
        used.add(mechanism)
        return written(mechanism, endpoint)

    monkeypatch.setattr(IMAPClient, "capabilities", lambda self: [c for c in offered(self) if c not in others])
    monkeypatch.setattr(authenticate, "token_response", response)
    monkeypatch.setattr(smtp_session, "token_mechanism", lambda offered: request.param)
    yield str(request.param)
    assert used == {request.param}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.in_part(2)
def test_a_token_of_any_length_signs_in_at_dovecot_on_both_protocols(
    make_account: Accounts, dovecot: Dovecot, sink: SmtpServer, mail_user: str, padding: int, mechanism: str
) -> None:
    token = dovecot.token(mail_user, padding=padding)
    assert padding < 3600 or len(token) > 5000
    account = with_token(make_account, mail_user, token)

    assert api.send(account.pk, "bob@example.test", "Hello", "A text.").ok, OutboxMessage.objects.get().error
    imap_sign_in(account, token)

    assert len(sink.mails()) == 1
    assert token not in str(OutboxMessage.objects.get().attempts.get().transcript)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.in_part(2)
def test_an_expired_token_of_any_length_is_a_refused_sign_in(
    make_account: Accounts, dovecot: Dovecot, mail_user: str, padding: int, mechanism: str
) -> None:
    token = dovecot.token(mail_user, expires_in=-60, padding=padding)
    account = with_token(make_account, mail_user, token)

    assert not api.send(account.pk, "bob@example.test", "Hello", "A text.").ok
    with pytest.raises(SignInRefused):
        imap_sign_in(account, token)

    row = OutboxMessage.objects.get()
    assert (row.status, row.hold) == ("failed", "sign_in") and token not in row.error


@pytest.mark.parametrize("length", [10, 250, 330, 340, 350, 380, 600, 5000])
@pytest.mark.parametrize("secret", ["password", "token"])
@pytest.mark.in_part(3)
def test_no_command_is_longer_than_512_octets(
    account_on: Accounts, smtp_server: Start, length: int, secret: str
) -> None:
    word = "s" * length
    server = smtp_server("tls", require_auth=True, password=word, tokens={word})
    given = {"smtp_password": word} if secret == "password" else {"smtp_password": None, "smtp_oauth_token": word}
    account = account_on(server, **given)

    assert api.send(account.pk, "bob@example.test", "Hello", "A text.").ok

    (line,) = server.said("AUTH")
    assert len(line) + 2 <= LONGEST_COMMAND
    assert len(server.said("AUTH+")) == (1 if line.count(" ") == 1 else 0)


def test_a_server_that_asks_for_what_stood_in_the_command_is_told_again(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Dialogue._plain
    monkeypatch.setattr(Dialogue, "_plain", lambda self, _given: plain(self, None))
    server = smtp_server("tls", require_auth=True)
    assert api.send(account_on(server).pk, "bob@example.test", "Hello", "A text.").ok
    assert len(server.said("AUTH+")) == 1


@pytest.mark.parametrize("token", ["good-token", "bad-token"])
def test_where_only_oauthbearer_is_offered_it_carries_the_token(
    account_on: Accounts, smtp_server: Start, token: str
) -> None:
    server = smtp_server("tls", require_auth=True, mechanisms=("OAUTHBEARER", "PLAIN"))
    account = account_on(server, smtp_password=None, smtp_oauth_token=token)
    answer = api.send(account.pk, "bob@example.test", "Hello", "A text.")
    assert answer.ok is (token == "good-token")
    row = OutboxMessage.objects.get()
    assert row.hold == ("" if answer.ok else "sign_in") and (answer.ok or "invalid_token" in row.error)


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("token", ["good-token", "bad-token"])
def test_a_server_that_ends_the_session_behind_its_challenge_has_refused_the_token(
    account_on: Accounts, smtp_server: Start, mechanism: str, token: str
) -> None:
    """Dovecot 2.3.21 crashes at the client's answer. Without a challenge nothing was refused."""
    server = smtp_server("tls", require_auth=True, mechanisms=(mechanism, "PLAIN"))
    server.on("AUTH", Drop())
    account = account_on(server, smtp_password=None, smtp_oauth_token=token)
    assert not api.send(account.pk, "bob@example.test", "Hello", "A text.").ok
    row = OutboxMessage.objects.get()
    assert row.hold == ("sign_in" if token == "bad-token" else "")
    assert ('"status"' in row.error) is (token == "bad-token")


@pytest.mark.parametrize(
    ("challenge", "is_refusal"),
    [
        ('{"status":"401","schemes":"bearer","scope":"mail"}', True),
        ('{"status":400}', True),
        ('{"status":"invalid_token"}', True),
        ('{"status":"503"}', False),
        ('{"scope":"mail"}', False),
        ("[1]", False),
        ("", False),
    ],
)
def test_a_challenge_with_a_status_refuses_the_token(challenge: str, is_refusal: bool) -> None:
    assert sasl.refuses_token(challenge) is is_refusal


@pytest.mark.parametrize(
    ("offered", "mechanism"),
    [
        (["PLAIN", "XOAUTH2"], "XOAUTH2"),
        (["xoauth2", "oauthbearer"], "XOAUTH2"),
        (["OAUTHBEARER", "PLAIN"], "OAUTHBEARER"),
        (["PLAIN"], "XOAUTH2"),  # some do not tell
        ([], "XOAUTH2"),
    ],
)
def test_xoauth2_is_used_where_it_is_offered(offered: list[str], mechanism: str) -> None:
    assert token_mechanism(offered) == mechanism


def test_a_name_in_oauthbearer_is_written_as_gs2_wants_it() -> None:
    written = sasl.oauthbearer("a=b,c@example.test", "t", "mail.example.test", 993)
    assert written == "n,a=a=3Db=2Cc@example.test,\x01host=mail.example.test\x01port=993\x01auth=Bearer t\x01\x01"
