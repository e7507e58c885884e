"""Speaking IMAP with a real Dovecot, and with sockets that misbehave as no Dovecot would."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, NetworkError, OverQuota, ProviderError, SignInRefused, Throttled
from mailbox.imap.fetch import by_bytes, pair_bodies, uid_set
from mailbox.imap.responses import refused
from mailbox.imap.session import ImapSession
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.ports import free_ports

RAW = b"From: ann@example.com\r\nSubject: hello\r\n\r\nA text.\r\n"


def open_session(endpoint: Endpoint, *, connect: float = 10, command: float = 10) -> ImapSession:
    return ImapSession.open(endpoint, connect_timeout=connect, command_timeout=command)


@pytest.fixture
def endpoint(dovecot: Dovecot, mail_user: str) -> Endpoint:
    return Endpoint(
        host=dovecot.host,
        port=dovecot.imap_port,
        security="tls",
        user=mail_user,
        password=MAILBOX_PASSWORD,
        ca_certificate=dovecot.ca_pem,
    )


@pytest.fixture
def listener() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Run a function on the first connection to a port of its own; returns the port."""
    sockets: list[socket.socket] = []

    def listen(speak: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)

        def serve() -> None:
            connection, _ = server.accept()
            sockets.append(connection)
            speak(connection)

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield listen
    for each in sockets:
        each.close()


def test_a_command_behind_another_waits_for_no_acknowledgement(endpoint: Endpoint) -> None:
    """Without this the suite's scripted server, whose answers take a moment, makes each run half a second longer."""
    with open_session(endpoint) as session:
        assert session._client._imap.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_password_signs_in_and_the_servers_words_are_kept(endpoint: Endpoint) -> None:
    with open_session(endpoint) as session:
        assert "Logged in" in session.greeting


def test_a_token_signs_in(endpoint: Endpoint, dovecot: Dovecot) -> None:
    with open_session(replace(endpoint, password=None, oauth_token=dovecot.token(endpoint.user))) as session:
        assert "Logged in" in session.greeting


def test_a_wrong_password_is_a_refused_sign_in_without_the_password_in_its_words(endpoint: Endpoint) -> None:
    with pytest.raises(SignInRefused, match="AUTHENTICATIONFAILED") as refusal:
        open_session(replace(endpoint, password="wrong-Passw0rd"))
    assert "wrong-Passw0rd" not in str(refusal.value) + refusal.value.reply
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("password", ["pässwört", "日本語", 'quo"te\\back'])
def test_any_password_can_be_sent(endpoint: Endpoint, password: str) -> None:
    with pytest.raises(SignInRefused, match="AUTHENTICATIONFAILED"):
        open_session(replace(endpoint, password=password))


def test_a_password_cannot_smuggle_in_a_command(endpoint: Endpoint) -> None:
    with pytest.raises(SignInRefused, match="line break"):
        open_session(replace(endpoint, password="secret\r\nA2 DELETE INBOX"))


def test_an_expired_token_is_refused_and_the_servers_explanation_kept(endpoint: Endpoint, dovecot: Dovecot) -> None:
    token = dovecot.token(endpoint.user, expires_in=-60)
    with pytest.raises(SignInRefused, match=r"invalid_token|AUTHENTICATIONFAILED") as refusal:
        open_session(replace(endpoint, password=None, oauth_token=token))
    assert token not in str(refusal.value)


def test_an_untrusted_certificate_is_told_and_nothing_is_sent(endpoint: Endpoint) -> None:
    with pytest.raises(NetworkError, match=r"certificate of localhost:[0-9]+ is not trusted"):
        open_session(replace(endpoint, ca_certificate=""))


def test_a_port_where_nobody_listens_is_told(endpoint: Endpoint) -> None:
    (port,) = free_ports(1)
    with pytest.raises(NetworkError, match="refused the connection"):
        open_session(replace(endpoint, port=port))


def test_a_port_without_tls_is_told(endpoint: Endpoint, dovecot: Dovecot) -> None:
    with pytest.raises(NetworkError, match="does not speak TLS"):
        open_session(replace(endpoint, port=dovecot.submission_port))


def test_a_host_that_is_not_there_is_told(endpoint: Endpoint) -> None:
    with pytest.raises(NetworkError, match=r"no-such-host\.invalid was not found"):
        open_session(replace(endpoint, host="no-such-host.invalid"))


def test_a_server_that_never_answers_times_out(endpoint: Endpoint, listener: Callable[..., int]) -> None:
    port = listener(lambda connection: None)
    with pytest.raises(NetworkError, match="did not answer in time"):
        open_session(replace(endpoint, port=port), connect=0.3)


def test_a_server_that_hangs_up_is_a_network_error(endpoint: Endpoint, listener: Callable[..., int]) -> None:
    port = listener(lambda connection: connection.close())
    with pytest.raises(NetworkError):
        open_session(replace(endpoint, port=port))


def test_a_connection_that_breaks_later_is_a_network_error(endpoint: Endpoint) -> None:
    session = open_session(endpoint)
    session._client.socket().shutdown(socket.SHUT_RDWR)
    with pytest.raises(NetworkError, match="broke"):
        session.list_folders()
    session.close()


def test_folders_are_listed_with_their_names_and_special_use(endpoint: Endpoint, dovecot: Dovecot) -> None:
    for name in ("Entwürfe & Müll", "日本語", "2024", "a/b c"):
        dovecot.create_folder(endpoint.user, name)
    with open_session(endpoint) as session:
        folders = {folder.name: folder for folder in session.list_folders()}
    assert {"INBOX", "Entwürfe & Müll", "日本語", "2024", "a/b c"} <= folders.keys()
    assert folders["INBOX"].selectable


def test_a_folder_with_any_name_can_be_opened(endpoint: Endpoint, dovecot: Dovecot) -> None:
    dovecot.create_folder(endpoint.user, "Entwürfe & Müll")
    dovecot.append(endpoint.user, "Entwürfe & Müll", RAW)
    with open_session(endpoint) as session:
        status = session.examine("Entwürfe & Müll")
    assert (status.exists, status.uidnext) == (1, 2)


def test_a_folder_that_is_not_there_is_the_providers_error(endpoint: Endpoint) -> None:
    with open_session(endpoint) as session, pytest.raises(ProviderError, match="doesn't exist"):
        session.examine("Nowhere")


def test_messages_come_whole_with_flags_and_dates_in_utc(endpoint: Endpoint, dovecot: Dovecot) -> None:
    when = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    raws = [
        RAW,
        b"Subject: second\r\n\r\n" + bytes(range(1, 256)) * 40,
        b"\r\n",
        b"Subject: {5}\r\n\r\n) UID 9 {3}\r\n",
    ]
    for raw in raws:
        dovecot.append(endpoint.user, "INBOX", raw, flags=("\\Flagged",), when=when)
    with open_session(endpoint) as session:
        session.examine("INBOX")
        metas = list(session.fetch_meta([1, 2, 3, 4, 99]).values())
        messages = list(session.fetch_messages(metas))
    assert [meta.uid for meta in metas] == [1, 2, 3, 4]
    assert {meta.internal_date for meta in metas} == {when}
    assert all("\\Flagged" in meta.flags for meta in metas)
    assert {message.meta.uid: message.raw for message in messages} == dovecot.messages(endpoint.user)


def test_reading_leaves_every_flag_as_it_was(endpoint: Endpoint, dovecot: Dovecot) -> None:
    dovecot.append(endpoint.user, "INBOX", RAW)
    before = dovecot.flags(endpoint.user)
    with open_session(endpoint) as session:
        session.examine("INBOX")
        list(session.fetch_messages(list(session.fetch_meta([1]).values())))
        session.fetch_header(session.fetch_meta([1])[1])
    assert {uid: flags - {"\\Recent"} for uid, flags in before.items()} == {
        uid: flags - {"\\Recent"} for uid, flags in dovecot.flags(endpoint.user).items()
    }


def test_a_header_comes_alone(endpoint: Endpoint, dovecot: Dovecot) -> None:
    dovecot.append(endpoint.user, "INBOX", RAW)
    with open_session(endpoint) as session:
        session.examine("INBOX")
        message = session.fetch_header(session.fetch_meta([1])[1])
    assert message.raw == RAW.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert not message.is_complete


def test_a_search_never_answers_what_lies_outside(endpoint: Endpoint, dovecot: Dovecot) -> None:
    for _ in range(3):
        dovecot.append(endpoint.user, "INBOX", RAW)
    with open_session(endpoint) as session:
        session.examine("INBOX")
        assert session.search_uids(2, 2**32 - 1) == [2, 3]
        assert session.search_uids(4, 2**32 - 1) == []
        assert session.search_uids(3, 2) == []


class TruncatingClient:
    """Answers SEARCH with the first 1,000 only, as Yahoo does."""

    def __init__(self, number: int) -> None:
        self._imap, self._uids = self, range(1, number + 1)

    def uid(self, command: str, *arguments: str) -> tuple[str, list[bytes]]:
        low, _, high = arguments[-1].partition(":")
        found = self._uids[int(low) - 1 : int(high)][:1000]
        return "OK", [" ".join(map(str, found)).encode()]

    def response(self, code: str) -> tuple[str, list[None]]:
        return code, [None]

    def _checkok(self, command: str, status: str, lines: list[bytes]) -> None:
        assert status == "OK"


def test_a_search_that_the_server_cuts_short_is_made_whole(endpoint: Endpoint) -> None:
    for number in (5000, 600_000):
        session = ImapSession(TruncatingClient(number), endpoint, "")
        assert session.search_uids(1, 2**32 - 1) == list(range(1, number + 1))


def test_an_appended_copy_is_found_by_its_message_id(endpoint: Endpoint, dovecot: Dovecot) -> None:
    dovecot.create_folder(endpoint.user, "Sent")
    raw = b"Message-ID: <outbox-1-0@example.test>\r\n" + RAW
    when = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    with open_session(endpoint) as session:
        session.append("Sent", raw, ["\\Seen"], when)
        assert session.find_message_id("Sent", "<outbox-1-0@example.test>") == [1]
        assert session.find_message_id("Sent", "<outbox-2-0@example.test>") == []
        assert session.fetch_meta([1])[1].internal_date == when
    assert dovecot.messages(endpoint.user, "Sent") == {1: raw}


@pytest.mark.parametrize(
    ("words", "signing_in", "kind", "wait"),
    [
        ("[AUTHENTICATIONFAILED] Invalid credentials", True, SignInRefused, None),
        ("[EXPIRED] Password expired", False, SignInRefused, None),
        ("LOGIN failed.", True, SignInRefused, None),
        ("[UNAVAILABLE] Temporary authentication failure", True, Throttled, None),
        ("[INUSE] Mailbox in use", False, Throttled, None),
        ("[LIMIT] Too many connections", True, Throttled, None),
        ("User is authenticated but not connected.", False, Throttled, None),
        ("Request is throttled. Suggested Backoff Time: 273155 milliseconds", False, Throttled, 273.155),
        ("[OVERQUOTA] Account exceeded its limit", False, OverQuota, None),
        ("Mailbox doesn't exist: X", False, ProviderError, None),
    ],
)
def test_a_refusal_means_what_its_words_say(
    words: str, signing_in: bool, kind: type[MailError], wait: float | None
) -> None:
    error = refused(words, signing_in=signing_in)
    assert type(error) is kind
    assert error.wait_seconds == wait
    assert words in str(error)


def test_bodies_are_paired_by_uid_wherever_the_server_puts_it() -> None:
    answer = [
        (b"1 (UID 7 BODY[] {3}", b"abc"),
        b")",
        b"4 (FLAGS (\\Seen))",
        (b"2 (BODY[] {2}", b"de"),
        b" UID 8 FLAGS ())",
        (b"3 (FLAGS (\\Seen) BODY[] {0}", b""),
        b" UID 9)",
    ]
    assert pair_bodies(answer) == {7: b"abc", 8: b"de", 9: b""}


def test_uids_are_asked_for_as_ranges() -> None:
    assert uid_set([3, 1, 2, 7, 9, 10]) == "1:3,7,9:10"
    assert uid_set([5]) == "5"


def test_batches_are_cut_by_bytes_and_a_giant_goes_alone() -> None:
    class Sized:
        def __init__(self, size: int) -> None:
            self.size = size

    sizes = [[item.size for item in run] for run in by_bytes([Sized(n) for n in (3, 3, 3, 50, 1, 1)], 8)]
    assert sizes == [[3, 3], [3], [50], [1, 1]]
    assert [len(run) for run in by_bytes([Sized(0)] * 5, 8, count=2)] == [2, 2, 1]
