"""What servers answer otherwise than RFC 3501 has it is read as it was meant: a table of answers, in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, NetworkError, ProviderError
from mailbox.imap import fetch, internal_date, response_lines, search
from mailbox.imap.session import ImapSession
from tests.fuzz.servers import Said, answered_by

ENDPOINT = Endpoint("imap.example.com", 993, "tls", "ann", "secret")
DONE = "~~ OK done"


def asked(question: Callable[[ImapSession], object], *answers: str, offered: str = "IMAP4rev1") -> object:
    """What comes of it where the server says these, each to one of our commands; "~~" is the command's tag."""
    greeting = f"* OK [CAPABILITY {offered}] ready"
    said = (f"{greeting}\r\n", f"* CAPABILITY {offered}\r\n{DONE}\r\n", *(f"{answer}\r\n" for answer in answers))
    with answered_by(Said("\0".join(said).encode("utf-8", "surrogateescape"))):
        session = ImapSession.open(ENDPOINT, connect_timeout=5, command_timeout=5)
        return question(session)


def lines(*answer: str) -> str:
    return "\r\n".join((*answer, DONE))


# --- EXAMINE
@pytest.mark.parametrize(
    "answer",
    [
        lines("* 3 EXISTS", "* OK [ UIDVALIDITY 7 ] x", "* OK [UIDNEXT  4]"),
        lines("*\t3\tEXISTS", "* OK[UIDVALIDITY 7]", "* OK [UIDNEXT 4 ] next"),
        lines("* FLAGS(\\Seen)", "* 3 EXISTS ", "* OK [UIDVALIDITY 7", "* OK [uidnext 4"),
        lines("* 9 EXISTS", "* 3 EXISTS", "* OK [UIDNEXT 4] x", "* OK", "* OK [UIDVALIDITY 7] x", "* NO not so fine"),
        lines("* 3 EXISTS", "* OK [UIDVALIDITY 0000000007] x", '* OK [UIDNEXT "4"] x', "* OK [HIGHESTMODSEQ NIL]"),
        lines("* 3 EXISTS", "* OK [UIDVALIDITY 7] x", "* OK [UIDNEXT 4] x", "* OK [X-ODD [a] (b)] x", "* XTRA 1 2"),
        lines("* 3 EXISTS", "* OK [UIDVALIDITY 7] UIDs valid [mx:2024]", "* OK [UIDNEXT 4] next [a] [b]", "*", "* "),
        lines("* 3 EXISTS", "* OK [PERMANENTFLAGS (\\*)] any [x]", "* OK [UIDVALIDITY 7] [x", "* OK [UIDNEXT 4] x]"),
        lines("* OK [CLOSED] x", "* 3 EXISTS", "* OK [UIDVALIDITY 7]  Ok", "* OK [UIDNEXT 4]", "* OK [NOMODSEQ]"),
        lines("* LIST () NIL INBOX", "* 3 exists", "* ok [UidValidity 7]", "* ok [UidNext 4]", "* 0 RECENT"),
    ],
)
def test_a_folder_is_opened(answer: str) -> None:
    found = asked(lambda session: session.examine("INBOX"), answer)
    assert isinstance(found, fetch.FolderStatus)
    assert (found.exists, found.uidvalidity, found.uidnext, found.highestmodseq) == (3, 7, 4, None)


@pytest.mark.parametrize("code", ["", "* OK [UIDVALIDITY 0] x", "* OK [UIDVALIDITY NIL] x", "* OK [UIDVALIDITY] x"])
def test_a_folder_without_uidvalidity_is_told_of_in_words(code: str) -> None:
    with pytest.raises(ProviderError, match="no UIDVALIDITY"):
        asked(lambda session: session.examine("INBOX"), lines("* 3 EXISTS", *filter(None, [code])))


def test_a_folder_that_does_not_say_how_many_messages_it_has_is_told_of_in_words() -> None:
    with pytest.raises(ProviderError, match="how many messages"):
        asked(lambda session: session.examine("INBOX"), lines("* OK [UIDVALIDITY 7] x"))


@pytest.mark.parametrize("words", ["BAD nothing to fetch", "NO No matching messages"])
def test_a_refusal_to_fetch_from_an_empty_folder_is_nothing(words: str) -> None:
    def emptied(session: ImapSession) -> object:
        session.examine("INBOX")
        return session.fetch_range(1, 2)

    assert asked(emptied, lines("* 0 EXISTS", "* OK [UIDVALIDITY 7] x"), f"~~ {words}") == {}
    with pytest.raises(ProviderError):
        asked(emptied, lines("* 2 EXISTS", "* OK [UIDVALIDITY 7] x"), f"~~ {words}")


def test_where_login_is_disabled_plain_is_said() -> None:
    said = Said(b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN] ready\r\n\0+ \r\n\0PRX0 OK in\r\n")
    with answered_by(said):
        ImapSession.open(
            Endpoint("imap.example.com", 993, "tls", "änn", "s3cret"), connect_timeout=5, command_timeout=5
        )
    assert b" AUTHENTICATE PLAIN" in said.heard and b" LOGIN " not in said.heard


@pytest.mark.parametrize(
    "answer",
    ["* BYE Going down", "* 3 EXISTS\r\n*  bye [ALERT] Going down", "", "* 3 EXISTS\r\n* OK [UIDVAL", "~~"],
)
def test_a_server_that_ends_in_the_middle_is_a_network_error(answer: str) -> None:
    with pytest.raises(NetworkError):
        asked(lambda session: session.examine("INBOX"), answer)


def test_words_in_brackets_that_are_no_code_stay_as_they_are() -> None:
    for line in (b"* OK [mx.example.com] ready\r\n", b"* OK [192.0.2.1] x\r\n", b"PRX1 NO [a(b] x\r\n"):
        assert response_lines.as_meant(line) == line


def test_capabilities_in_several_lines_are_all_of_them() -> None:
    answers = (
        "* OK ready",
        "* CAPABILITY IMAP4rev1\r\n* CAPABILITY LOGINDISABLED AUTH=PLAIN\r\n~~ OK",
        "+ ",
        "PRX1 OK in",
    )
    said = Said("\0".join(f"{each}\r\n" for each in answers).encode())
    with answered_by(said):
        ImapSession.open(ENDPOINT, connect_timeout=5, command_timeout=5)
    assert b" AUTHENTICATE PLAIN" in said.heard and b" LOGIN " not in said.heard


# --- LIST
NAMES = {
    '* LIST () "/" ""': [],
    '* LIST (\\Noselect) "/" ""': [],
    "* LIST () NIL {0}\r\n": [],
    '* LIST () "/" "A/"': ["A/"],
    '* list (\\HASNOCHILDREN) "/" "a"': ["a"],
    '*  LIST  ()  "/"  "a"': ["a"],
    '* LIST () "/" a ': ["a"],
    '* LIST (\\Noinferiors \\Sent) "/" {2}\r\nab': ["ab"],
    '* LIST () "/" &': ["&"],
    '* LIST () "/" "&AOk"': ["&AOk"],
    '* LIST () "/" "&AOk-&AOk-"': ["&AOk-&AOk-"],
    '* LIST () "/" "&2D0-"': ["&2D0-"],
    '* LIST () "/" "&Jjo!"': ["&Jjo!"],
    '* LIST () "/" "&AOkA6Q-"': ["éé"],
    '* LIST () "/" "Entw\u00fcrfe"': ["Entwürfe"],
    '* LIST () "/" "say \\"hi\\""': ['say "hi"'],
    '* LIST () "/" "Inbox"': ["INBOX"],
    '* LIST () "/" "x" ("OLDNAME" ("y"))': ["x"],
    "* LIST () / x": ["x"],
    '* LIST "/" "x"': [],
    "* LIST": [],
    '* LIST () "/" "a\r\n* LIST () "/" "b"': ['"a', "b"],
    '* LIST () "/" "a"\r\n* LSUB () "/" "z"\r\n* 4 EXISTS\r\n* LIST () "/" "b"': ["a", "b"],
}


@pytest.mark.parametrize("answer", NAMES)
def test_folders_are_listed(answer: str) -> None:
    found = asked(lambda session: session.list_folders(), lines(answer), "~~ BAD no LSUB")
    assert isinstance(found, list)
    assert [folder.name for folder in found] == NAMES[answer]


@pytest.mark.parametrize(
    ("attributes", "use"),
    [
        ("\\Sent", "\\Sent"), ("\\HasNoChildren \\JUNK", "\\Junk"), ("\\Spam", "\\Junk"), ("\\AllMail", "\\All"),
        ("\\Starred", "\\Flagged"), ("\\NonExistent", ""),
    ],
)  # fmt: skip
def test_the_use_of_a_folder_is_read_by_its_older_names_too(attributes: str, use: str) -> None:
    found = asked(lambda session: session.list_folders(), lines(f'* LIST ({attributes}) "/" "a"'), "~~ BAD no LSUB")
    assert isinstance(found, list) and [folder.special_use for folder in found] == [use]


def test_a_server_that_wants_id_first_hears_it_before_list() -> None:
    """Where it tells only in answer to CAPABILITY that it knows ID."""
    answers = ("* OK [CAPABILITY IMAP4rev1] ready", DONE, lines("* CAPABILITY IMAP4rev1 ID"),
               lines('* LIST () "/" INBOX'), lines("* LSUB () NIL INBOX"))  # fmt: skip
    said = Said("\0".join(f"{each}\r\n" for each in answers).encode())
    with answered_by(said):
        found = ImapSession.open(ENDPOINT, connect_timeout=5, command_timeout=5).list_folders()
    assert [folder.name for folder in found] == ["INBOX"]
    assert 0 < said.heard.find(b" ID (") < said.heard.find(b" LIST ")


@pytest.mark.parametrize("signed_in", ["* CAPABILITY IMAP4rev1 ID\r\n~~ OK in", "~~ OK [CAPABILITY IMAP4rev1 ID] in"])
def test_id_is_said_where_it_is_first_offered_in_answer_to_login(signed_in: str) -> None:
    answers = ("* OK [CAPABILITY IMAP4rev1] ready", signed_in, lines("* 1 EXISTS", "* OK [UIDVALIDITY 7] x"))
    said = Said("\0".join(f"{each}\r\n" for each in answers).encode())
    with answered_by(said):
        ImapSession.open(ENDPOINT, connect_timeout=5, command_timeout=5).examine("INBOX")
    assert 0 < said.heard.find(b" ID (") < said.heard.find(b" EXAMINE ")


# --- SEARCH
@pytest.mark.parametrize(
    ("answer", "uids"),
    [
        ([b""], []),
        ([b"3 2 1", b"2 9"], [1, 2, 3, 9]),
        ([b" 1  2 "], [1, 2]),
        ([b"1,2,4:6"], [1, 2, 4, 5, 6]),
        ([b"1 2 (MODSEQ 917162500)"], [1, 2]),
        ([b"1 2 (modseq 7"], [1, 2]),
        ([b"6:4"], [4, 5, 6]),
        ([b"NIL"], []),
    ],
)
def test_a_search_is_read(answer: list[bytes], uids: list[int]) -> None:
    assert search.found_in(answer, []) == uids


@pytest.mark.parametrize(
    ("answer", "uids"),
    [
        (b'(TAG "PRX1") UID ALL 1:3,5', [1, 2, 3, 5]),
        (b'(TAG "PRX1") UID COUNT 0', []),
        (b'(TAG "PRX1") UID COUNT 2 MIN 1 MAX 2 ALL 1:2 MODSEQ 9', [1, 2]),
        (b"UID all 7", [7]),
        (b'(TAG "PRX1")', []),
    ],
)
def test_an_extended_search_is_read(answer: bytes, uids: list[int]) -> None:
    assert search.found_in([], [answer]) == uids


def test_a_range_of_all_there_can_be_costs_no_more_than_what_was_asked_for() -> None:
    examined = lines("* 9 EXISTS", "* OK [UIDVALIDITY 7] x")

    def opened(session: ImapSession) -> object:
        session.examine("INBOX")
        return session.search_uids(5, 9)

    found = asked(opened, examined, lines("* ESEARCH (TAG x) UID ALL 1:4294967295"))
    assert found == [5, 6, 7, 8, 9]


# --- FETCH
ROW = {"flags": ("\\Seen",), "size": 12, "date": datetime(2024, 3, 1, 12, tzinfo=UTC)}


@pytest.mark.parametrize(
    "answer",
    [
        [b'1 (RFC822.SIZE 12 INTERNALDATE "01-Mar-2024 12:00:00 +0000" FLAGS (\\Seen) UID 7)'],
        [b'1 (UID 7 RFC822.SIZE 12)', b'1 (UID 7 INTERNALDATE "01-Mar-2024 12:00:00 +0000" FLAGS (\\Seen))'],
        [(b"1 (INTERNALDATE {26}", b"01-Mar-2024 12:00:00 +0000"), b" UID 7 FLAGS (\\Seen) RFC822.SIZE 12)"],
        [b'1 (UID 7 FLAGS (\\Seen) RFC822.SIZE 12 INTERNALDATE "01-Mar-2024 12:00:00 +0000"'],
        [b'1(FLAGS(\\Seen)UID 7 RFC822.SIZE 12 INTERNALDATE "01-Mar-2024 12:00:00 +0000" MODSEQ (9))'],
        [b'1 (flags (\\Seen) uid 7 rfc822.size 12 internaldate "01-MAR-2024 12:00:00 +0000")', b"2 (FLAGS ())"],
        [b'1 (X-GM-LABELS ("my UID 9" "RFC822.SIZE 5 (FLAGS (x))") UID 7 FLAGS (\\Seen) RFC822.SIZE 12 '
         b'INTERNALDATE "01-Mar-2024 12:00:00 +0000")'],
        [b'1 (FLAGS (UID 9 \\Seen) UID 7 RFC822.SIZE 12 INTERNALDATE "01-Mar-2024 12:00:00 +0000")'],
        [(b"1 (X-GM-LABELS ({8}", b"a UID 99"), b") UID 7 FLAGS (\\Seen) RFC822.SIZE 12 "
         b'INTERNALDATE "01-Mar-2024 12:00:00 +0000")'],
    ],
)  # fmt: skip
def test_a_messages_data_are_read_in_any_order_and_piece(answer: list[object]) -> None:
    found = fetch.rows(answer)
    assert set(found) == {7}
    assert (found[7].flags or ())[-1:] == ROW["flags"]
    assert (found[7].size, found[7].internal_date) == (ROW["size"], ROW["date"])


@pytest.mark.parametrize(
    "answer",
    [
        [(b"1 (UID 7 BODY[] {5}", b"hello"), b")"],
        [(b"1 (BODY[] {5}", b"hello"), b" UID 7)"],
        [(b"1 (BODY[] {5}", b"hello"), b"UID 7)"],
        [(b"1 (UID 7 BODY[HEADER] {2}", b"ab"), (b" BODY[] {5}", b"hello"), b" FLAGS ())"],
        [b"2 (FLAGS (\\Seen))", (b"1 (FLAGS () BODY[]<0> {5}", b"hello"), b" UID 7)", b"3 (UID 3 FLAGS ())"],
        [(b"1 (UID 7 RFC822 {5}", b"hello"), b")"],
        [(b"1 (UID 7 BINARY[] {5}", b"hello"), b")"],
        [(b"1 (UID 7 BODY[]{5}", b"hello"), b")"],
        [(b"1 (UID 7 BODY[] {5}", b"hello"), b")", (b"1 (UID 7 BODY[] {0}", b""), b")"],
    ],
)
def test_a_body_belongs_to_the_uid_of_its_answer(answer: list[object]) -> None:
    assert fetch.pair_bodies(answer) == {7: b"hello"}


@pytest.mark.parametrize("body", ['"hel\\"lo"', '{6}\r\nhel"lo'])
def test_a_body_as_a_string_or_a_literal(body: str) -> None:
    meta = fetch.MessageMeta(7, (), None, 6)
    answer = f"* 1 FETCH (UID 7 BODY[] {body})\r\n~~ OK"

    def opened(session: ImapSession) -> object:
        session.examine("INBOX")
        return list(session.fetch_messages([meta]))

    found = asked(opened, lines("* 9 EXISTS", "* OK [UIDVALIDITY 7] x"), answer, answer)
    assert isinstance(found, list) and [message.raw for message in found] == [b'hel"lo']


@pytest.mark.parametrize("nil", ["NIL", "nil", '""'])
def test_a_body_that_is_none_is_no_message(nil: str) -> None:
    answer = f"* 1 FETCH (UID 7 BODY[] {nil})\r\n~~ OK"

    def opened(session: ImapSession) -> object:
        session.examine("INBOX")
        return list(session.fetch_messages([fetch.MessageMeta(7, (), None, 6)]))

    assert asked(opened, lines("* 9 EXISTS", "* OK [UIDVALIDITY 7] x"), answer, answer) == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("01-Mar-2024 12:00:00.123 -0500", datetime(2024, 3, 1, 17, tzinfo=UTC)),
        ("01-Mar-24 12:00:00 +0000", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("2024-03-01T12:00:00Z", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("2024-03-01 12:00:00 +0100", datetime(2024, 3, 1, 11, tzinfo=UTC)),
        ("Fri Mar  1 12:00:00 2024", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("1-March-2024 12:00 -0000", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("01-Mar-2024 12:00:00 +0000 (UTC)", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("01-Mar-2024 12:00:60 +0000", datetime(2024, 3, 1, 12, 0, 59, tzinfo=UTC)),
        ("01-Mar-2024 12:00:00 Z", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("01-Mar-2024 12:00:00 \x00", datetime(2024, 3, 1, 12, tzinfo=UTC)),
        ("00-Mar-2024 12:00:00 +0000", None),
        ("01-Mar-1601 12:00:00 +0000", None),
        ("01-Foo-2024 12:00:00 +0000", None),
        ("01-03-2024 12:00:00 +0000", None),
        ("1709294400", None),
    ],
)
def test_the_date_of_arrival(written: str, read: datetime | None) -> None:
    assert internal_date.parse(written.encode()) == read


# --- Greetings
@pytest.mark.parametrize(
    ("greeting", "words", "alerts"),
    [
        ("+OK POP3 ready", "answered what is no IMAP", ()),
        ("220 SMTP ready", "answered what is no IMAP", ()),
        ("* BYE Too busy", "ended the connection: Too busy", ()),
        ("* BYE [ALERT] Down until noon", r"ended the connection: \[ALERT\] Down until noon", ("Down until noon",)),
    ],
)
def test_a_greeting_that_is_none_is_told_in_words(greeting: str, words: str, alerts: tuple[str, ...]) -> None:
    with (
        answered_by(Said(f"{greeting}\r\n".encode())),
        pytest.raises(NetworkError, match=f"{words}$|{words}\\.$") as told,
    ):
        ImapSession.open(ENDPOINT, connect_timeout=5, command_timeout=5)
    assert tuple(told.value.alerts) == alerts


# --- Refusals
@pytest.mark.parametrize("code", ["[INUSE]", "[ UNAVAILABLE ]", "[unavailable]", "[LIMIT ] x", "[SERVERBUG]"])
def test_a_refusal_in_an_odd_code_is_a_refusal_and_ends_no_connection(code: str) -> None:
    def twice(session: ImapSession) -> object:
        with pytest.raises(MailError) as first:
            session.examine("INBOX")
        assert not isinstance(first.value, NetworkError)
        return session.examine("INBOX")

    found = asked(twice, f"~~ NO {code}", lines("* 1 EXISTS", "* OK [UIDVALIDITY 7] x"))
    assert isinstance(found, fetch.FolderStatus) and found.uidvalidity == 7
