"""Kinds of damaged and unusual mail in one script each: boundaries that collide, names that deceive, rare charsets."""

# ruff: noqa: RUF001 (letters of other scripts, and signs that look like others)

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailbox.mime import dates, parameters, readable_text
from mailbox.mime import message as mime_message
from mailbox.mime.charsets import decode_text, decode_words
from mailbox.mime.filenames import safe_filename
from tests.mailbox.mime.odd_mail import HEAD, PDF, pdf_part

BARE = HEAD.format(subject="odd").encode()


def plain(edge: str, text: str = "The text.") -> bytes:
    return f"--{edge}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


def page(edge: str, text: str = "The text.") -> bytes:
    return f"--{edge}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>{text}</p>\r\n".encode()


def multi(subtype: str, edge: str, *parts: bytes, is_closed: bool = True) -> bytes:
    stated = f'Content-Type: multipart/{subtype}; boundary="{edge}"\r\n\r\n'.encode()
    return stated + b"".join(parts) + (f"--{edge}--\r\n".encode() if is_closed else b"")


def within(edge: str, part: bytes) -> bytes:
    return f"--{edge}\r\n".encode() + part


def read(raw: bytes) -> tuple[list[str], dict[str, bytes]]:
    parsed = mime_message.parse(raw)
    files = {each.filename: mime_message.attachment_bytes(raw, each.position) for each in parsed.attachments}
    return readable_text.readable(parsed).split(), files


# --- boundaries


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize(
    ("inner", "outer"),
    [("B--", "B"), ("B", "B--"), ("B-", "B"), ("B----", "B"), ("B--x", "B"), ("--B", "B"), ("B", "--B"), ("B", "B")],
)
def test_a_boundary_that_begins_or_ends_as_the_outer_one_does(inner: str, outer: str, is_closed: bool) -> None:
    choice = multi("alternative", inner, plain(inner), page(inner), is_closed=is_closed or inner == outer)
    raw = BARE + multi("mixed", outer, within(outer, choice), pdf_part(outer))
    assert read(raw) == (["The", "text."], {"a.pdf": PDF})


def test_a_boundary_of_a_multipart_further_out() -> None:
    choice = multi("alternative", "B", plain("B"), page("B"))
    picture = b"Content-Type: image/png; name=p.png\r\n\r\nPNG\r\n"
    for between in ("M", "B"):
        related = multi("related", between, within(between, choice), within(between, picture))
        raw = BARE + multi("mixed", "B", within("B", related), pdf_part("B"))
        assert read(raw) == (["The", "text."], {"p.png": b"PNG", "a.pdf": PDF}), between
        open_related = multi("related", between, within(between, choice), within(between, picture), is_closed=False)
        raw = BARE + multi("mixed", "B", within("B", open_related), pdf_part("B"))
        assert read(raw)[1].keys() == {"p.png", "a.pdf"}, between


def test_each_of_several_multiparts_with_their_parents_boundary() -> None:
    choices = [multi("alternative", "B", plain("B", text), page("B", text)) for text in ("One.", "Two.", "Three.")]
    raw = BARE + multi("mixed", "B", plain("B", "Begin."), *(within("B", each) for each in choices), pdf_part("B"))
    assert read(raw) == (["Begin.", "One.", "Two.", "Three."], {"a.pdf": PDF})


def test_an_attached_mail_with_the_boundary_of_the_mail_around_it() -> None:
    attached = b"Subject: inner\r\nMIME-Version: 1.0\r\n" + multi("mixed", "B", plain("B", "Inside."), pdf_part("B"))
    part = b"Content-Type: message/rfc822\r\n\r\n" + attached
    raw = BARE + multi("mixed", "B", plain("B"), within("B", part), pdf_part("B"))
    text, files = read(raw)
    assert text == ["The", "text."]
    assert files == {"inner.eml": attached.removesuffix(b"\r\n"), "a.pdf": PDF}


def test_thousands_of_multiparts_with_the_boundary_around_them_take_linear_time() -> None:
    inner = b'Content-Type: multipart/mixed; boundary="B--"\r\n\r\n--B--\r\n\r\nx\r\n--B----\r\n'
    raw = BARE + multi("mixed", "B", *[within("B", inner)] * 9000)
    parsed = mime_message.parse(raw)
    assert "BoundaryOfParentDefect" in parsed.defects
    assert readable_text.readable(parsed).split() == ["x"] * len(parsed.body_text.split())


# --- header


@pytest.mark.parametrize("name", ["X-Odd", "List-Id"])
def test_a_field_of_obsolete_syntax_is_no_text(name: str) -> None:
    assert read(BARE + f"{name} : value\r\n\r\nThe text.".encode()) == (["The", "text."], {})
    words = BARE + b"Hello : this is text\r\n\r\nThe text."
    assert read(words)[0][0] == "Hello"


def test_blank_folds_are_one_space() -> None:
    raw = b"Subject: o\r\n \r\n\t\r\n dd\r\n\r\nx"
    assert mime_message.parse(raw).subject == "o dd"


# --- names


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("NUL", "_NUL"),
        ("con.txt", "_con.txt"),
        ("Aux .pdf", "_Aux .pdf"),
        ("COM1", "_COM1"),
        ("lpt³.tar.gz", "_lpt³.tar.gz"),
        ("CONIN$", "_CONIN$"),
        ("console.txt", "console.txt"),
        ("com10.txt", "com10.txt"),
        ("invoice.pdf" + " " * 200 + ".exe", "invoice.pdf .exe"),
        ("invoice.pdf" + "\u00a0\u3000" * 90 + ".exe", "invoice.pdf .exe"),
        ("a\u061cfdp.exe", "afdp.exe"),
        ("a\u202efdp.exe", "afdp.exe"),
        ("a\U000e0041\u180e\ufff9.exe", "a.exe"),
        ("a\u3164\u115f\u2800.exe", "a.exe"),
        ("报价\u200b单.pdf", "报价单.pdf"),
        ("\U0001f600 a.txt", "\U0001f600 a.txt"),
    ],
)
def test_a_name_is_shown_as_it_ends_and_can_be_saved_anywhere(stated: str, name: str) -> None:
    assert safe_filename(stated, "application/octet-stream", 0) == name


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('x; filename*0="a "; filename*1="b.txt"', "a b.txt"),
        ("x; filename*0=\"a \"; filename*1*=utf-8''%C3%A4.txt", "a ä.txt"),
        ("x; filename*0*=utf-8''%C3%A4; filename*1=\"b \"; filename*2*=%C3%B6.txt", "äb ö.txt"),
        ('x; filename*0="it\'s "; filename*1*=%C3%A4.txt', "it's ä.txt"),
        ('x; filename*0=a; filename*2="c.txt"', "ac.txt"),
    ],
)
def test_sections_of_a_name_are_joined_as_they_stand(field: str, name: str) -> None:
    assert parameters.parameters(field)["filename"] == name


# --- charsets; the octets of those that Python does not know were written by glibc's iconv


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        (
            "EUC-TW",
            b"\xe0\xc1\xe6\xdc\xe2\xd3\xc7\xb5\xa1\xa2\xee\xf9\xd1\xe7\xc8\xad\xa1\xa4 ok",
            "測試郵件，請查收。 ok",
        ),
        ("x-euc-tw", b"\xfd\xcb\xf3\xbf\xfd\xa7\x8e\xa2\xf0\xb4", "籲龜蠻囍"),
        ("euc_tw", b"\x8e\xa2\xf2\xc4", "龘"),
        ("ISO-2022-CN", b'\x1b$)G\x0e`Af\\bSG5!"nyQgH-!$\x0f ok', "測試郵件，請查收。 ok"),
        ("iso-2022-cn-ext", b"\x1b$)A\x0e2bJTSJ<~#,Gk2iJU!#\x0f", "测试邮件，请查收。"),
        ("", b"\x1b$)A\x0e2bJTSJ<~#,Gk2iJU!#\x0f", "测试邮件，请查收。"),
        ("ISO-2022-CN", b"\x1b$)G\x1b$*H\x0e}K\x1bNp4\x0f\r\n\x0e`A\x0f", "籲囍\r\n測"),
        ("viscii", b"Ti\xaang Vi\xaet, \x02", "Tiếng Việt, Ẳ"),
        ("windows-1258", b"Ti\xea\xecng Vi\xea\xf2t", "Tiếng Việt"),
        ("utf-16", "Grüße".encode("utf-16-be"), "Grüße"),
        ("utf-16", "障害のお知らせ".encode("utf-16-be"), "障害のお知らせ"),
        ("utf-16", "障害のお知らせ".encode("utf-16-le"), "障害のお知らせ"),
        ("iso-2022-jp-3", "障害①".encode("iso2022_jp_3"), "障害①"),
        ("iso-2022-jp-2004", "障害①".encode("iso2022_jp_2004"), "障害①"),
        ("x-mac-thai", "สวัสดีครับ".encode("cp874"), "สวัสดีครับ"),
    ],
)
def test_charsets_that_python_reads_not_or_otherwise(label: str, octets: bytes, text: str) -> None:
    assert decode_text(octets, label) == (text, True)


@pytest.mark.parametrize("label", ["euc-tw", "iso-2022-cn", "euc-jp", "iso-2022-jp"])
def test_what_is_invalid_in_them_spoils_no_other_letter(label: str) -> None:
    assert decode_text(b"\x1b$)A\x1b$)Gfive\x8e\xa1 \xff six \x1b\x0e", label)[0].count("i") >= 1
    assert decode_text(b"", label)[0] == ""


def test_a_letter_of_a_plane_that_is_not_read_is_marked_and_the_rest_is_there() -> None:
    text, is_true = decode_text(b"\xe0\xc1\xe6\xdc" * 20 + b"\x8e\xa3\xb4\xf6", "euc-tw")
    assert (text, is_true) == ("測試" * 20 + "\ufffd", False)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("=?utf-16?B?//5HAHIA?= =?utf-16?B?//78AA==?=", "Grü"),
        ("=?utf-8?B?R3LD_vMOfZQ==?=", "Grüße"),
        ("=?utf-8?B?R3LDvMOf-_8?=", "Grüß\ufffd\ufffd"),
    ],
)
def test_encoded_words_with_a_mark_in_each_and_with_signs_between(subject: str, text: str) -> None:
    assert decode_words(subject) == text


# --- dates


@pytest.mark.parametrize(
    ("stated", "date"),
    [
        *((f"Tue, 4 Mar 2025 10:00:00 {zone}", None) for zone in "AIJKMNY"),
        ("Tue, 4 Mar 2025 10:00:00 Z", datetime(2025, 3, 4, 10, tzinfo=UTC)),
        ("Tue(c), 4(c) Mar(c) 2025(c) 10(c):(c)00 : 30 +0000", datetime(2025, 3, 4, 10, 0, 30, tzinfo=UTC)),
        ("Tue, 4 Mar 2025 9:5:3 +0100", datetime(2025, 3, 4, 8, 5, 3, tzinfo=UTC)),
        ("Tue, 4 Mar 2025 9:5", datetime(2025, 3, 4, 9, 5, tzinfo=UTC)),
        ("2025-3-4 10:00:00", datetime(2025, 3, 4, 10, tzinfo=UTC)),
        ("Tue, 4 Mar 2025 10:00:00 Etc/UTC", datetime(2025, 3, 4, 10, tzinfo=UTC)),
        ("śr., 5 lut 2025 10:00:00 +0000", datetime(2025, 2, 5, 10, tzinfo=UTC)),
        ("pt., 3 października 2025 10:00:00 +0000", datetime(2025, 10, 3, 10, tzinfo=UTC)),
        ("út, 4 úno 2025 10:00:00 +0000", datetime(2025, 2, 4, 10, tzinfo=UTC)),
        ("ti, 4 maaliskuuta 2025 10:00:00 +0000", datetime(2025, 3, 4, 10, tzinfo=UTC)),
        ("Τρι, 4 Μαρ 2025 10:00:00 +0000", datetime(2025, 3, 4, 10, tzinfo=UTC)),
        ("الثلاثاء، 4 مارس 2025 10:00:00 +0000", datetime(2025, 3, 4, 10, tzinfo=UTC)),
        ("7/15/2025 6:50:21 PM -0400", datetime(2025, 7, 15, 22, 50, 21, tzinfo=UTC)),
        ("15/7/2025 18:50:21 -0400", datetime(2025, 7, 15, 22, 50, 21, tzinfo=UTC)),
        ("15-07-2025 18:50 +0000", datetime(2025, 7, 15, 18, 50, tzinfo=UTC)),
        ("Tue, 01.07.2025 18:50:21 +0200", datetime(2025, 7, 1, 16, 50, 21, tzinfo=UTC)),
        ("7/7/2025 6:50 AM", datetime(2025, 7, 7, 6, 50, tzinfo=UTC)),
        ("1/7/2025 18:50:21 +0000", None),  # January or July
        ("13.13.2025 18:50:21 +0000", None),
        ("0/15/2025 18:50:21 +0000", None),
        ("31/6/2025 18:50:21 +0000", None),
        ("2025-07-15 오후 6:50:21 +0000", datetime(2025, 7, 15, 18, 50, 21, tzinfo=UTC)),
        ("2025年7月15日 午前12:50:21 +0000", datetime(2025, 7, 15, 0, 50, 21, tzinfo=UTC)),
        ("2025/7/15 下午 06:50:21 +0000", datetime(2025, 7, 15, 18, 50, 21, tzinfo=UTC)),
        ("15 Jul 2025 06:50:21 下午 +0000", datetime(2025, 7, 15, 18, 50, 21, tzinfo=UTC)),
        ("mar, 15 de julio de 2025 18:50:21 +0000", datetime(2025, 7, 15, 18, 50, 21, tzinfo=UTC)),
        ("4 lip 2025 10:00:00 +0000", None),  # July in Polish, June in Croatian
        ("4 listopada 2025 10:00:00 +0000", None),
    ],
)
def test_dates_with_obsolete_zones_and_in_other_languages(stated: str, date: datetime | None) -> None:
    assert dates.read(stated) == date


def test_no_name_stands_for_two_months() -> None:
    names = [name for line in dates._OTHER_NAMES for name in line.split()]
    assert len(names) == len(set(names)) == len(dates._OTHER_MONTHS)
