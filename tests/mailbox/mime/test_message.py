"""What is read from the header of a message, and which of its parts are the body."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from mailbox.mime import html_text
from mailbox.mime import message as mime_message
from tests.mailbox.mime.mime_messages import HEAD, field, multipart


def test_the_message_id_is_kept_as_written_and_trimmed() -> None:
    assert field("Message-ID", b"  <A.b@c.d> ").message_id == "<A.b@c.d>"
    assert field("message-id", b"bare@id").message_id == "bare@id"


@pytest.mark.parametrize(
    "raw", [b"", b"Subject: x\r\n\r\n", b"Message-ID: \r\n\r\n", b"Message-ID: <" + b"x" * 998 + b">\r\n\r\n"]
)
def test_without_a_usable_message_id_the_digest_of_the_bytes_takes_its_place(raw: bytes) -> None:
    assert mime_message.parse(raw).message_id == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("written", "shown", "address"),
    [
        (b"Ann <Ann@Example.COM>", "Ann <Ann@Example.COM>", "ann@example.com"),
        (b"ann@example.com", "ann@example.com", "ann@example.com"),
        (b'"Doe, John" <j@x.org>, second@x.org', '"Doe, John" <j@x.org>', "j@x.org"),
        (b"=?utf-8?Q?J=C3=B6rg?= <j@x.org>", "Jörg <j@x.org>", "j@x.org"),
        (b'"=?utf-8?B?5Lit5paH?=" <a@b.cn>', "中文 <a@b.cn>", "a@b.cn"),
        (b"=?gb2312?B?1tDOxA==?= <q@q.cn>", "中文 <q@q.cn>", "q@q.cn"),
        ("Jörg <j@x.org>".encode(), "Jörg <j@x.org>", "j@x.org"),
        ("Jörg <j@x.org>".encode("latin-1"), "Jörg <j@x.org>", "j@x.org"),
        (b"Ann ann@x.org", "Ann <ann@x.org>", "ann@x.org"),
        (b"nobody in particular", "nobody in particular", ""),
        (b"", "", ""),
    ],
)
def test_the_sender_is_the_first_from_address(written: bytes, shown: str, address: str) -> None:
    parsed = field("From", written)
    assert (parsed.sender, parsed.sender_address) == (shown, address)


def test_all_recipients_of_all_to_fields_are_kept() -> None:
    parsed = mime_message.parse(
        b"To: Bob <b@x.org>,\r\n c@x.org\r\nTo: d@x.org\r\nCc: e@x.org\r\nBcc: f@x.org\r\nReply-To: g@x.org\r\n\r\n"
    )
    assert parsed.recipients == "Bob <b@x.org>, c@x.org, d@x.org"
    assert (parsed.cc, parsed.bcc, parsed.reply_to) == ("e@x.org", "f@x.org", "g@x.org")


def test_a_group_without_addresses_is_shown_as_written() -> None:
    assert field("To", b"undisclosed-recipients:;").recipients == "undisclosed-recipients:;"


@pytest.mark.parametrize(
    ("written", "subject"),
    [
        (b"=?utf-8?Q?caf=C3=A9?=", "café"),
        (b"=?utf-8?B?5Lit5Q==?=\r\n =?utf-8?B?paE=?=", "中奡"),  # a character split over two words
        (b"=?utf-8?Q?a?= =?utf-8?Q?b?= c", "ab c"),
        (b"Re: =?iso-8859-1?Q?=93quoted=94?=", "Re: “quoted”"),
        (b"=?ks_c_5601-1987?B?x9GxuQ==?=", "한국"),
        (b"=?shift_jis?B?h0A=?=", "①"),  # only in Windows' larger set
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?utf-8?q?a b c?=", "a b c"),
        (b"=?utf-8?Q?20=25=?=", "20%="),
        (b"=?utf-8*en?Q?tagged?=", "tagged"),
        (b"=?nonsense?Q?abc=E9?=", "abcé"),
        (b"=?utf-8?Q?never closed", "=?utf-8?Q?never closed"),
        (b"=?utf-8?B?abc?=", "i·"),
        (b"=?utf-8?Q?one=0D=0ABcc:_x?=", "one Bcc: x"),
        ("Привет".encode(), "Привет"),
        ("Größe".encode("cp1252"), "Größe"),
        (b"folded\r\n\t over lines", "folded over lines"),
        (b"nul\x00 inside", "nul\ufffd inside"),
    ],
)
def test_subjects_are_decoded_however_they_are_encoded(written: bytes, subject: str) -> None:
    assert field("Subject", written).subject == subject


@pytest.mark.parametrize(
    ("written", "date"),
    [
        (b"Fri, 20 Nov 2026 23:40:00 +0100", datetime(2026, 11, 20, 22, 40, tzinfo=UTC)),
        (b"20 Nov 26 23:40 GMT", datetime(2026, 11, 20, 23, 40, tzinfo=UTC)),
        (b"20 Nov 2026 23:40:00 EST", datetime(2026, 11, 21, 4, 40, tzinfo=UTC)),
        (b"Fri, 20 Nov 2026 23:40:00", datetime(2026, 11, 20, 23, 40, tzinfo=UTC)),
        (b"2026-11-20T23:40:00+01:00", datetime(2026, 11, 20, 22, 40, tzinfo=UTC)),
        (b"Tue, 01 Jul 2025 06:50:21 PM -0400", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 12:05:00 AM +0000", datetime(2025, 7, 1, 0, 5, tzinfo=UTC)),
        (b"Tuesday, July 1, 2025 6:50 p.m. -0400", datetime(2025, 7, 1, 22, 50, tzinfo=UTC)),
        (b"Tue Jul  1 18:50:21 EDT 2025", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"Tue Jul  1 18:50:21 2025 -0400", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"01-Jul-2025 18.50.21 GMT+0200", datetime(2025, 7, 1, 16, 50, 21, tzinfo=UTC)),
        (b"Di, 1 Jul 2025 18:50:21 +0200 (CEST)", datetime(2025, 7, 1, 16, 50, 21, tzinfo=UTC)),
        (b'Tue,1 Jul 2025 18:50:21 "GMT"', datetime(2025, 7, 1, 18, 50, 21, tzinfo=UTC)),
        (b"1 Jul 125 18:50:21 CEST", datetime(2025, 7, 1, 16, 50, 21, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 18:50:21 BST", None),  # British, Bougainville's or Bangladesh's
        (b"Tue, 1 Jul 2025 18:50:21 A", None),
        (b"Tue, 1 Jul 2025 18:50:21 (CEST)", datetime(2025, 7, 1, 16, 50, 21, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 18:50:21 (GMT-04:00)", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 18:50:21 (IST)", None),  # Irish, Israeli or Indian
        (b"Tue, 1 Jul 2025 18:50:21 +0200 (IST)", datetime(2025, 7, 1, 16, 50, 21, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 18:50:21 +9900", None),
        (b"01/07/2025 18:50:21", None),  # January or July
        (b"Di., 1. Juli 2025 18:50:21 +0200", datetime(2025, 7, 1, 16, 50, 21, tzinfo=UTC)),
        ("mar., 1 juil. 2025 18:50:21 \u20130400".encode(), datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"=?utf-8?Q?Tue,_1_Jul_2025_18:50:21_-0400?=", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"Date: Tue, 1 Jul 2025 18:50:21 --0400;", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"2025/07/01 22:50:21", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        (b"20250701T225021Z", datetime(2025, 7, 1, 22, 50, 21, tzinfo=UTC)),
        ("Вт, 01 июля 2025 18:50:21 +0300".encode(), datetime(2025, 7, 1, 15, 50, 21, tzinfo=UTC)),
        (b"Sal, 1 Tem 2025 18:50:21 +0300", datetime(2025, 7, 1, 15, 50, 21, tzinfo=UTC)),
        (b"ti, 1 maj 2025 18:50:21 +0200", datetime(2025, 5, 1, 16, 50, 21, tzinfo=UTC)),
        ("火, 1 7月 2025 18:50:21 +0900".encode(), datetime(2025, 7, 1, 9, 50, 21, tzinfo=UTC)),
        ("星期二, 01 十二月 2025 18:50:21 +0800".encode(), datetime(2025, 12, 1, 10, 50, 21, tzinfo=UTC)),
        ("2025年7月1日 18:50:21 +0800".encode(), datetime(2025, 7, 1, 10, 50, 21, tzinfo=UTC)),
        ("2025년 7월 1일 18:50:21 +0900".encode(), datetime(2025, 7, 1, 9, 50, 21, tzinfo=UTC)),
        ("2025年13月1日 18:50:21 +0800".encode(), None),
        (b"wt., 1 lip 2025 18:50:21 +0200", None),  # July in Poland, June in Croatia
        (b"Tue, 1 Mak 2025 18:50:21 +0200", None),
        (b"Tue, 32 Jul 2025 18:50:21 +0200", None),
        (b"Tue, 1 Jul 2025 00:50:21 PM +0200", None),
        (b"Tue, 1 Jul 2025 00:50:21 AM +0000", datetime(2025, 7, 1, 0, 50, 21, tzinfo=UTC)),
        (b"2025-13-01 18:50:21 +0000", None),
        (b"2025-00-01 18:50:21 +0000", None),
        (b"Tue, 1 Jul 2025", None),
        (b"yesterday", None),
        (b"Thu, 1 Jan 99999 00:00:00 +0000", None),
        (b"Fri, 31 Dec 9999 23:59:59 -1200", None),
        (b"", None),
    ],
)
def test_the_date_header_is_an_aware_date_or_none(written: bytes, date: datetime | None) -> None:
    parsed = field("Date", written)
    assert parsed.date == date
    assert parsed.date is None or parsed.date.tzinfo is not None


def test_of_two_dates_the_one_that_is_a_date_counts() -> None:
    raw = b"Date: yesterday\r\nDate: Tue, 01 Jul 2025 10:00:00 +0000\r\n\r\nbody"
    parsed = mime_message.parse(raw)
    assert (parsed.date, parsed.defects) == (datetime(2025, 7, 1, 10, tzinfo=UTC), ())


def test_header_lines_are_all_fields_in_order_as_text() -> None:
    raw = b"Received: from a\r\n\tby b\r\nReceived: c\r\nSubject: =?utf-8?Q?=C3=A9?=\r\n\r\nbody"
    assert mime_message.header_lines(raw) == [("Received", "from a by b"), ("Received", "c"), ("Subject", "é")]


def test_texts_beside_each_other_are_read_in_their_order_and_files_are_attached() -> None:
    raw = multipart(
        b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached",
        b"Content-Type: text/plain; name=notes.txt\r\n\r\nnamed",
        b"Content-Type: text/plain\r\n\r\nthe text",
        b"Content-Type: text/html\r\n\r\n<p>the html</p>",
        b"Content-Type: text/plain\r\n\r\nfooter of a list",
    )
    parsed = mime_message.parse(raw)
    assert parsed.body_text.split("\n\n") == ["the text", "the html", "footer of a list\n"]
    assert html_text.html_words(parsed.body_html, 100) == "the text the html footer of a list"
    assert [mime_message.attachment_bytes(raw, a.position) for a in parsed.attachments] == [b"attached", b"named"]
    assert [a.filename for a in parsed.attachments] == ["attachment-1.txt", "notes.txt"]


def test_a_body_that_has_a_file_name_is_still_the_body_when_there_is_no_other() -> None:
    parsed = mime_message.parse(
        multipart(b"Content-Type: text/plain; name=mail.txt\r\n\r\nhello", b"Content-Type: image/png\r\n\r\nx")
    )
    assert parsed.body_text == "hello"
    assert [a.content_type for a in parsed.attachments] == ["image/png"]


def test_a_body_is_found_in_the_raw_text_when_the_boundary_is_wrong() -> None:
    raw = HEAD + (
        b"Content-Type: multipart/alternative; boundary=right\r\n\r\n"
        b"--wrong\r\nContent-Type: text/plain\r\n\r\nthe text\r\n"
        b"--wrong\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        b"<b>caf=C3=A9</b>\r\n--wrong--\r\n"
    )
    parsed = mime_message.parse(raw)
    assert (parsed.body_text.strip(), parsed.body_html.strip()) == ("the text", "<b>café</b>")


@pytest.mark.parametrize(
    ("body", "snippet"),
    [
        (b"\r\n\r\n  a \t b\r\n\r\nc", "a b c"),
        (b"\r\n" + b"word " * 100, ("word " * 24)[:120]),
        (
            b"Content-Type: text/html\r\n\r\n<style>p{}</style><p>Hello <b>wor</b>ld</p><p>&amp; more",
            "Hello world & more",
        ),
        (b"Content-Type: text/html\r\n\r\n<head><title>t</title></head><body><!-- c -->seen", "seen"),
        (b"Content-Type: text/html\r\n\r\n<p>a &lt; b", "a < b"),
        (b"Content-Type: text/html\r\n\r\n<!-- never closed", ""),
        (b"\r\n", ""),
    ],
)
def test_the_snippet_is_the_beginning_of_what_is_read(body: bytes, snippet: str) -> None:
    assert mime_message.parse(HEAD + body).snippet == snippet
