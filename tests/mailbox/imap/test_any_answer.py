"""Whatever a server answers: the readers of answers raise what they state, and what they find a database holds."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError
from mailbox.imap import fetch, folder_names, internal_date, listing, response_lines
from mailbox.imap.exceptions import failures

PIECES = st.sampled_from(
    [
        b"* 1 FETCH (UID 7 FLAGS (\\Seen) RFC822.SIZE 12 ",
        b'INTERNALDATE "01-Mar-2024 12:00:00 +0000" ',
        b"BODY[] {3}",
        b"BODY[HEADER]<0> {3}",
        b'X-GM-LABELS ("\\\\Inbox" "&AGE-" "a\\"b") ',
        b'* LIST (\\Noselect) "/" "A&B"',
        b"* LIST () NIL NIL",
        b"* OK [ALERT] words",
        b"PRX1 no ",
        b"*  12   exists",
        b"UID " + b"9" * 5000,
        b"(" * 200,
        b'"\\',
        b"{18446744073709551616}",
        b"\x00\xff\xed\xa0\x80",
        b")\r\n",
        b"\r",
    ]
)
LINES = st.lists(PIECES | st.binary(max_size=12), max_size=6).map(b"".join)
ANSWERS = st.lists(LINES | st.tuples(LINES, LINES) | st.none(), max_size=6)
ENDPOINT = Endpoint("imap.example.com", 993, "ann", "secret", "password")


@settings(max_examples=300, deadline=None)
@given(ANSWERS)
def test_any_fetch_answer_is_read_or_is_an_expected_failure(answer: Sequence[object]) -> None:
    try:
        with failures(ENDPOINT):
            found = fetch.rows(answer)
            fetch.pair_bodies(answer)
            fetch.pair_headers(answer)
    except MailError:
        return
    for uid, row in found.items():
        meta = fetch.meta(uid, row)
        assert 0 <= meta.size <= fetch.MAX_NUMBER and 0 <= uid <= fetch.MAX_UID
        assert not any("\0" in flag for flag in meta.flags)
        "".join((*meta.flags, *(meta.labels or ()))).encode()


@settings(max_examples=300, deadline=None)
@given(ANSWERS)
def test_any_list_answer_is_read_or_is_an_expected_failure(answer: list[object]) -> None:
    try:
        with failures(ENDPOINT):
            rows = [row for items in listing._rows(answer) if (row := listing._row(items))]
            for flags, delimiter, name in rows:
                folder = fetch.listed(flags, delimiter, name)
                assert "\0" not in folder.name
                folder.name.encode()
    except MailError:
        pass


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_a_line_is_put_as_meant_once(line: bytes) -> None:
    meant = response_lines.as_meant(line)
    assert response_lines.as_meant(meant) == meant
    response_lines.alert_in(line).encode()
    response_lines.is_fetch(line)
    internal_date.parse(line)


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_a_folder_name_can_be_said_back(name: bytes) -> None:
    shown = folder_names.decoded(name)
    shown.encode()
    assert "\0" not in shown
    if b"\0" not in name:
        assert name in folder_names.ways_to_write(shown) or not name.isascii()
