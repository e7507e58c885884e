"""What is read from a message, and that any bytes can be read."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from mailbox import mime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MAIL = Path(__file__).parent.parent / "mail"
HEAD = b"From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: s\r\nMIME-Version: 1.0\r\n"


def multipart(*parts: bytes, subtype: str = "mixed") -> bytes:
    body = b"".join(b"--cut\r\n" + part + b"\r\n" for part in parts)
    return HEAD + f"Content-Type: multipart/{subtype}; boundary=cut\r\n\r\n".encode() + body + b"--cut--\r\n"


def text(charset: str, octets: bytes) -> mime.ParsedMessage:
    return mime.parse(HEAD + f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + octets)


def field(name: str, value: bytes) -> mime.ParsedMessage:
    return mime.parse(name.encode() + b": " + value + b"\r\n\r\nbody")


@pytest.mark.parametrize("path", sorted(MAIL.glob("*.eml")), ids=lambda path: path.stem)
def test_a_message_is_read_as_its_expected_values_say(path: Path) -> None:
    parsed = mime.parse(path.read_bytes())
    expected: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
    for name, value in expected.items():
        if name == "attachments":
            shown = [[a.filename, a.content_type, a.size, a.content_id, a.is_inline] for a in parsed.attachments]
            assert shown == value
        elif name == "date":
            assert parsed.date == datetime.fromisoformat(value)
        elif name == "defects":
            assert list(parsed.defects) == value
        else:
            assert getattr(parsed, name) == value, name


def test_the_message_id_is_kept_as_written_and_trimmed() -> None:
    assert field("Message-ID", b"  <A.b@c.d> ").message_id == "<A.b@c.d>"
    assert field("message-id", b"bare@id").message_id == "bare@id"


@pytest.mark.parametrize(
    "raw", [b"", b"Subject: x\r\n\r\n", b"Message-ID: \r\n\r\n", b"Message-ID: <" + b"x" * 998 + b">\r\n\r\n"]
)
def test_without_a_usable_message_id_the_digest_of_the_bytes_takes_its_place(raw: bytes) -> None:
    assert mime.parse(raw).message_id == hashlib.sha256(raw).hexdigest()


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
        (b"Ann ann@x.org", "Ann ann@x.org", "ann@x.org"),
        (b"nobody in particular", "nobody in particular", ""),
        (b"", "", ""),
    ],
)
def test_the_sender_is_the_first_from_address(written: bytes, shown: str, address: str) -> None:
    parsed = field("From", written)
    assert (parsed.sender, parsed.sender_address) == (shown, address)


def test_all_recipients_of_all_to_fields_are_kept() -> None:
    parsed = mime.parse(
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
def test_subjects_are_decoded(written: bytes, subject: str) -> None:
    assert field("Subject", written).subject == subject


@pytest.mark.parametrize(
    ("written", "date"),
    [
        (b"Fri, 20 Nov 2026 23:40:00 +0100", datetime(2026, 11, 20, 22, 40, tzinfo=UTC)),
        (b"20 Nov 26 23:40 GMT", datetime(2026, 11, 20, 23, 40, tzinfo=UTC)),
        (b"20 Nov 2026 23:40:00 EST", datetime(2026, 11, 21, 4, 40, tzinfo=UTC)),
        (b"Fri, 20 Nov 2026 23:40:00", datetime(2026, 11, 20, 23, 40, tzinfo=UTC)),
        (b"2026-11-20T23:40:00+01:00", datetime(2026, 11, 20, 22, 40, tzinfo=UTC)),
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


@pytest.mark.parametrize(
    ("charset", "octets", "expected"),
    [
        ("utf-8", "grüße 中文".encode(), "grüße 中文"),
        ("gb2312", "朱镕基".encode("gb18030"), "朱镕基"),
        ("shift_jis", "①髙".encode("cp932"), "①髙"),
        ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
        ("iso-8859-1", b"\x93x\x94", "“x”"),
        ("us-ascii", "naïve".encode(), "naïve"),
        ("us-ascii", "naïve".encode("latin-1"), "naïve"),
        ("iso-8859-1", "naïve — 中".encode(), "naïve — 中"),
        ("no-such-charset", "naïve".encode(), "naïve"),
        (
            "zlib",
            b"x\x9c\x03\x00\x00\x00\x00\x01",
            "x\x9c".encode("latin-1").decode("cp1252") + "\x03\ufffd\ufffd\ufffd\ufffd\x01",
        ),
        ("unicode_escape", rb"\u0041", r"\u0041"),
        ("utf-8", b"\xff\xfea\x00b\x00", "ab"),
        ("utf-7", b"Hi +ZeVnLIqe-", "Hi 日本語"),
        ("windows-1256", "مرحبا".encode("cp1256"), "مرحبا"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
        ("utf-8", b"a\x00b", "a\ufffdb"),
        ("utf-8", b"\xed\xa0\x80 " + "中文字".encode() * 100, "\ufffd\ufffd\ufffd " + "中文字" * 100),
    ],
)
def test_bodies_are_read_in_their_charset_or_a_better_one(charset: str, octets: bytes, expected: str) -> None:
    assert text(charset, octets).body_text == expected


def test_a_lying_charset_is_said_in_the_defects() -> None:
    assert "CharsetDefect" in text("utf-8", b"caf\xe9").defects
    assert text("iso-8859-1", b"caf\xe9").defects == ()


def test_an_html_body_may_state_its_charset_in_its_own_head() -> None:
    html = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">Привет'.encode("cp1251")
    assert mime.parse(HEAD + b"Content-Type: text/html\r\n\r\n" + html).body_html.endswith("Привет")


@pytest.mark.parametrize(
    ("delsp", "written", "shown"),
    [
        ("no", "one \r\ntwo\r\nthree", "one two\nthree"),
        ("yes", "日本 \r\n語", "日本語"),
        ("no", "> a \r\n> b\r\n>> c \r\nd", "> a b\n>> c \nd"),
        ("no", " >not quoted", ">not quoted"),
        ("no", "end \r\n-- \r\nAnn", "end \n-- \nAnn"),
    ],
)
def test_flowed_text_is_unwrapped(delsp: str, written: str, shown: str) -> None:
    raw = HEAD + f"Content-Type: text/plain; charset=utf-8; format=flowed; delsp={delsp}\r\n\r\n{written}".encode()
    assert mime.parse(raw).body_text == shown


def test_the_bodies_are_the_first_text_and_the_first_html_that_are_not_attached() -> None:
    raw = multipart(
        b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached",
        b"Content-Type: text/plain; name=notes.txt\r\n\r\nnamed",
        b"Content-Type: text/plain\r\n\r\nthe text",
        b"Content-Type: text/html\r\n\r\n<p>the html</p>",
        b"Content-Type: text/plain\r\n\r\nfooter of a list",
    )
    parsed = mime.parse(raw)
    assert (parsed.body_text, parsed.body_html) == ("the text", "<p>the html</p>")
    assert [mime.attachment_bytes(raw, a.position) for a in parsed.attachments] == [
        b"attached",
        b"named",
        b"footer of a list",
    ]
    assert [a.filename for a in parsed.attachments] == ["attachment-1.txt", "notes.txt", "attachment-3.txt"]


def test_a_body_that_has_a_file_name_is_still_the_body_when_there_is_no_other() -> None:
    parsed = mime.parse(
        multipart(b"Content-Type: text/plain; name=mail.txt\r\n\r\nhello", b"Content-Type: image/png\r\n\r\nx")
    )
    assert parsed.body_text == "hello"
    assert [a.content_type for a in parsed.attachments] == ["image/png"]


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        ('Content-Type: application/pdf; name="plain.pdf"', "plain.pdf"),
        ("Content-Disposition: attachment; filename*=utf-8''na%C3%AFve%20%E4%B8%AD.pdf", "naïve 中.pdf"),
        ("Content-Disposition: attachment; filename*0*=utf-8''%E4%B8; filename*1*=%AD.pdf", "中.pdf"),
        ('Content-Disposition: attachment; filename="=?utf-8?B?5Lit5paH?=.pdf"', "中文.pdf"),
        ('Content-Disposition: attachment; filename="../../etc/passwd"', "passwd"),
        ('Content-Disposition: attachment; filename="C:\\\\Users\\\\a\\\\b.doc"', "b.doc"),
        ('Content-Disposition: attachment; filename=".."', "attachment-1.pdf"),
        ('Content-Disposition: attachment; filename="/"', "attachment-1.pdf"),
        ('Content-Disposition: attachment; filename="a\x00b\x07.pdf"', "ab.pdf"),
        ("Content-Disposition: attachment; filename*=utf-8''invoice%E2%80%AEfdp.exe", "invoicefdp.exe"),
        ("Content-Disposition: attachment", "attachment-1.pdf"),
        ('Content-Disposition: attachment; filename="größe.pdf"', "größe.pdf"),
    ],
)
def test_file_names_are_decoded_and_made_safe(head: str, filename: str) -> None:
    part = (
        head.encode()
        + (b"" if head.startswith("Content-Type") else b"\r\nContent-Type: application/pdf")
        + b"\r\n\r\nx"
    )
    parsed = mime.parse(multipart(b"\r\nhello", part))
    assert [a.filename for a in parsed.attachments] == [filename]


def test_a_long_file_name_keeps_its_extension_within_255_bytes() -> None:
    part = f"Content-Type: application/pdf; name={'é' * 300}.pdf\r\n\r\nx".encode()
    (attachment,) = mime.parse(multipart(part)).attachments
    assert len(attachment.filename.encode()) <= 255
    assert attachment.filename.endswith("é.pdf")


@pytest.mark.parametrize("encoding", ["base64", "BASE64 ", "8bit", "binary", "x-unknown"])
def test_attachments_come_back_byte_for_byte(encoding: str) -> None:
    octets = bytes(range(256)) * 3 + b"\r\n\n\r end"
    content = base64.encodebytes(octets) if "64" in encoding.lower() else octets
    head = f"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    raw = multipart(b"\r\nhello", head + content)
    (attachment,) = mime.parse(raw).attachments
    assert mime.attachment_bytes(raw, 0) == octets
    assert (attachment.size, attachment.digest) == (len(octets), hashlib.sha256(octets).hexdigest())


@pytest.mark.parametrize("position", [-1, 1, 99])
def test_an_attachment_that_is_not_there_is_an_index_error(position: int) -> None:
    with pytest.raises(IndexError):
        mime.attachment_bytes(multipart(b"Content-Type: image/png\r\n\r\nx"), position)


@pytest.mark.parametrize(
    "inner",
    [
        b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nX-Odd:   spaces \r\n\r\nline\nbare\r\n\ttab",
        b"Subject: Gr\xfc\xdfe\n\nlf only\n",
    ],
)
def test_a_forwarded_message_is_one_attachment_with_its_exact_bytes(inner: bytes) -> None:
    raw = multipart(b"\r\nsee below", b"Content-Type: message/rfc822\r\n\r\n" + inner)
    (attachment,) = mime.parse(raw).attachments
    assert (attachment.filename, attachment.content_type) == ("Grüße.eml", "message/rfc822")
    assert mime.attachment_bytes(raw, 0) == inner


def test_inline_images_are_found_by_content_id() -> None:
    raw = multipart(
        b'Content-Type: text/html\r\n\r\n<img src="cid:logo@x">',
        b"Content-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nUE5H",
        subtype="related",
    )
    assert mime.inline_images(raw) == {"logo@x": ("image/png", b"PNG")}
    (attachment,) = mime.parse(raw).attachments
    assert (attachment.is_inline, attachment.content_id) == (True, "logo@x")


@pytest.mark.parametrize(
    ("content_type", "filename"),
    [
        ("application/ms-tnef", "winmail.dat"),
        ("application/pkcs7-mime; smime-type=enveloped-data", "smime.p7m"),
        ("application/pgp-signature", "signature.asc"),
        ("text/calendar; method=REQUEST", "invite.ics"),
        ("message/delivery-status", "attachment-1.txt"),
        ("image/jpeg", "attachment-1.jpg"),
        ("no/idea", "attachment-1.bin"),
    ],
)
def test_parts_without_a_name_get_one_by_their_type(content_type: str, filename: str) -> None:
    parsed = mime.parse(multipart(b"\r\nhello", f"Content-Type: {content_type}\r\n\r\nx".encode()))
    assert [a.filename for a in parsed.attachments] == [filename]


def test_a_wholly_encrypted_message_is_an_attachment_without_a_body() -> None:
    parsed = mime.parse(
        HEAD + b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nUE5H\r\n"
    )
    assert (parsed.body_text, [a.filename for a in parsed.attachments]) == ("", ["smime.p7m"])


def test_a_body_is_found_in_the_raw_text_when_the_boundary_is_wrong() -> None:
    raw = HEAD + (
        b"Content-Type: multipart/alternative; boundary=right\r\n\r\n"
        b"--wrong\r\nContent-Type: text/plain\r\n\r\nthe text\r\n"
        b"--wrong\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        b"<b>caf=C3=A9</b>\r\n--wrong--\r\n"
    )
    parsed = mime.parse(raw)
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
    assert mime.parse(HEAD + body).snippet == snippet


def test_header_lines_are_all_fields_in_order_as_text() -> None:
    raw = b"Received: from a\r\n\tby b\r\nReceived: c\r\nSubject: =?utf-8?Q?=C3=A9?=\r\n\r\nbody"
    assert mime.header_lines(raw) == [("Received", "from a by b"), ("Received", "c"), ("Subject", "é")]


def test_a_huge_body_is_cut_in_the_tables_and_said_so() -> None:
    parsed = mime.parse(HEAD + b"\r\n" + b"x" * (mime.MAX_BODY_CHARACTERS + 1))
    assert len(parsed.body_text) == mime.MAX_BODY_CHARACTERS
    assert parsed.defects == ("BodyCut",)


def nested(depth: int) -> bytes:
    body = b"Content-Type: text/plain\r\n\r\ndeep\r\n"
    for level in range(depth):
        mark = b"b%d" % level
        body = (
            b"Content-Type: multipart/mixed; boundary="
            + mark
            + b"\r\n\r\n--"
            + mark
            + b"\r\n"
            + body
            + b"\r\n--"
            + mark
            + b"--\r\n"
        )
    return HEAD + body


def test_deep_nesting_is_read_to_a_limit_and_no_deeper() -> None:
    assert mime.parse(nested(90)).body_text.strip() == "deep"
    parsed = mime.parse(nested(2000))
    assert "NestingTooDeep" in parsed.defects
    assert parsed.attachments[0].content_type == "multipart/mixed"


def test_ten_thousand_parts_are_listed() -> None:
    raw = multipart(*(b"Content-Type: image/png\r\n\r\n%d" % number for number in range(10_001)))
    parsed = mime.parse(raw)
    assert len(parsed.attachments) == 10_000
    assert "TooManyParts" in parsed.defects


def assert_storable(parsed: mime.ParsedMessage) -> None:
    shown = json.dumps([str(value) for value in vars(parsed).values()], ensure_ascii=False)
    shown.encode("utf-8")
    for value in vars(parsed).values():
        assert not isinstance(value, str) or "\x00" not in value
    for attachment in parsed.attachments:
        assert 1 <= len(attachment.filename.encode()) <= 255
        assert not set(attachment.filename) & set("/\\\x00\r\n")
        assert len(attachment.content_type) <= 255
    assert 0 < len(parsed.message_id) <= 998
    assert len(parsed.snippet) <= 120


SEEDS = [path.read_bytes() for path in sorted(MAIL.glob("*.eml"))]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_can_be_read(raw: bytes) -> None:
    assert_storable(mime.parse(raw))
    mime.header_lines(raw)
    mime.inline_images(raw)


TRICKS = st.sampled_from(
    [
        b"\x00",
        b"\xed\xa0\x80",
        b"\r",
        b"\n\n",
        b"--",
        b"=?utf-8?B?",
        b"?=",
        b'"',
        b";",
        b"*0*=",
        b"%",
        b"\xff",
        b"<",
        b"charset=utf-16\r\n",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_mutated_message_can_be_read(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(SEEDS))
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(raw)))
        length = data.draw(st.integers(0, 40))
        raw = raw[:start] + data.draw(TRICKS | st.binary(max_size=8)) + raw[start + length :]
    parsed = mime.parse(raw)
    assert_storable(parsed)
    for attachment in parsed.attachments:
        assert len(mime.attachment_bytes(raw, attachment.position)) == attachment.size
