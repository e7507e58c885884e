"""Push from servers that misbehave: a dead connection is not taken for a quiet one, and chatter for no news."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from mailbox.endpoints import Endpoint
from mailbox.errors import NetworkError, Throttled
from mailbox.imap import idle
from mailbox.imap.idle import IdleNotOffered, IdleSession
from tests.mailbox.push.listeners import Heard, MakeAccount, listen
from tests.rows import folder_of
from tests.servers.certificates import Certificates
from tests.servers.imap_script import ScriptedImap, Talk

__all__ = ["listen"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


def endpoint_of(server: ScriptedImap, certificates: Certificates) -> Endpoint:
    return Endpoint("localhost", server.port, "tls", "u", "p", ca_certificate=certificates.ca_pem)


@pytest.fixture
def scripted(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates).start()
    server.faults["CAPABILITY"] = offer_idle
    yield server
    server.stop()


def offer_idle(talk: Talk, tag: str, _: str) -> bool:
    talk.say("* CAPABILITY IMAP4rev1 IDLE", f"{tag} OK done")
    return True


def session_with(server: ScriptedImap, certificates: Certificates, command_timeout: float = 5) -> IdleSession:
    return IdleSession.open(endpoint_of(server, certificates), connect_timeout=5, command_timeout=command_timeout)


def waited(session: IdleSession, seconds: float) -> bool:
    return asyncio.run(session.wait(seconds))


def idling(server: ScriptedImap, *lines: bytes, then: Callable[[Talk], object] = lambda _: None) -> None:
    """Answer IDLE with these lines, then do that."""

    def answer(talk: Talk, _tag: str, _arguments: str) -> bool:
        talk.send(b"+ idling\r\n" + b"".join(line + b"\r\n" for line in lines))
        then(talk)
        return True

    server.faults["IDLE"] = answer


def test_a_connection_without_idle_is_left_to_polling(
    make_account: MakeAccount, scripted: ScriptedImap, certificates: Certificates, listen: Callable[..., Heard]
) -> None:
    del scripted.faults["CAPABILITY"]
    with pytest.raises(IdleNotOffered):
        session_with(scripted, certificates)
    where = {"imap_host": "localhost", "imap_port": scripted.port, "smtp_host": "localhost", "smtp_port": 1}
    account = make_account(**where, ca_certificate=certificates.ca_pem)
    folder_of(account)
    heard = listen()
    heard.wait_for(account, "not offered")
    assert heard.nothing()


def test_the_end_of_the_connection_is_no_silence(scripted: ScriptedImap, certificates: Certificates) -> None:
    idling(scripted, then=lambda talk: talk.connection.shutdown(socket.SHUT_RDWR))
    with pytest.raises(NetworkError, match="ended the connection"):
        waited(session_with(scripted, certificates), 30)


def test_a_silent_server_is_found_dead_when_the_idle_is_renewed(
    scripted: ScriptedImap, certificates: Certificates
) -> None:
    idling(scripted, then=lambda talk: talk.stopped.wait(20))  # TCP lives on, nobody answers
    session = session_with(scripted, certificates, command_timeout=0.3)
    assert waited(session, 0.05) is False
    with pytest.raises(NetworkError, match="in time"):
        asyncio.run(session.renew())


def test_a_server_that_falls_out_of_its_rhythm_is_asked_early(
    scripted: ScriptedImap, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailbox.imap.idle.SHORTEST_RHYTHM", 0.05)
    idling(scripted, b"* OK Still here")
    session = session_with(scripted, certificates)
    began = time.monotonic()
    assert waited(session, 60) is False
    assert time.monotonic() - began < 45


def test_a_goodbye_is_understood(scripted: ScriptedImap, certificates: Certificates) -> None:
    idling(scripted, b"* BYE Too many simultaneous connections. (Failure)")
    with pytest.raises(Throttled):
        waited(session_with(scripted, certificates), 5)


@pytest.mark.parametrize("line", [b"* 4 EXISTS", b"* 2 EXPUNGE", b"* VANISHED 7:9", b"* 1 FETCH (FLAGS (\\Seen))"])
def test_each_kind_of_change_is_news(scripted: ScriptedImap, certificates: Certificates, line: bytes) -> None:
    idling(scripted, line)
    assert waited(session_with(scripted, certificates), 5) is True


@pytest.mark.parametrize("line", [b"* OK Still here", b"* 0 RECENT", b"* FLAGS (\\Seen)", b"x", b""])
def test_the_rest_is_none(scripted: ScriptedImap, certificates: Certificates, line: bytes) -> None:
    idling(scripted, line)
    assert waited(session_with(scripted, certificates), 0.1) is False


def test_news_that_come_before_the_idle_has_begun_are_not_lost(
    scripted: ScriptedImap, certificates: Certificates
) -> None:
    def late(talk: Talk, _tag: str, _arguments: str) -> bool:
        talk.send(b"* 5 EXISTS\r\n+ idling\r\n")
        return True

    scripted.faults["IDLE"] = late
    assert waited(session_with(scripted, certificates), 5) is True


@pytest.mark.parametrize("words", ["OK IDLE terminated", "NO [UNAVAILABLE] later", "BAD Idle timeout"])
def test_an_idle_that_the_server_ends_is_no_silence(
    scripted: ScriptedImap, certificates: Certificates, words: str
) -> None:
    def end(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("+ idling", f"{tag} {words}")
        return True

    scripted.faults["IDLE"] = end
    with pytest.raises(Throttled if "UNAVAILABLE" in words else NetworkError, match=words.split()[-1]):
        waited(session_with(scripted, certificates), 30)


def test_a_server_that_says_nothing_without_end_is_left(
    scripted: ScriptedImap, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "_MOST_OF_AN_IDLE", 100_000)
    idling(scripted, then=lambda talk: talk.send(b"* 0 RECENT\r\n" * 20_000))
    with pytest.raises(NetworkError, match="sends without end"):
        waited(session_with(scripted, certificates), 30)


def test_a_line_without_end_ends_the_connection(scripted: ScriptedImap, certificates: Certificates) -> None:
    idling(scripted, then=lambda talk: talk.send(b"x" * 200_000))
    with pytest.raises(NetworkError, match="without end"):
        waited(session_with(scripted, certificates), 10)


def test_chatter_instead_of_an_answer_holds_nobody(scripted: ScriptedImap, certificates: Certificates) -> None:
    def chatter(talk: Talk) -> None:
        while not talk.stopped.wait(0.01):
            talk.say("* OK as if nothing had been asked")

    idling(scripted, then=chatter)
    session = session_with(scripted, certificates, command_timeout=0.5)
    waited(session, 0.05)
    with pytest.raises(NetworkError, match="in time"):
        asyncio.run(session.renew())


def test_an_idle_that_is_refused_is_said(scripted: ScriptedImap, certificates: Certificates) -> None:
    def refuse(talk: Talk, tag: str, _: str) -> bool:
        talk.say(f"{tag} NO [LIMIT] Too much")
        return True

    scripted.faults["IDLE"] = refuse
    with pytest.raises(Throttled):
        waited(session_with(scripted, certificates), 5)
