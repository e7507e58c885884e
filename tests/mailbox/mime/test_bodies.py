"""Text and attachments come out of a message as they went in."""

from __future__ import annotations

import base64
import hashlib

import pytest

from mailbox.mime import message as mime_message
from tests.mailbox.mime.mime_messages import HEAD, multipart, text


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
    assert mime_message.parse(HEAD + b"Content-Type: text/html\r\n\r\n" + html).body_html.endswith("Привет")


def test_of_html_called_us_ascii_its_own_head_says_more() -> None:
    html = '<meta charset="iso-8859-2">Żółć'.encode("iso8859-2")
    raw = HEAD + b"Content-Type: text/html; charset=us-ascii\r\n\r\n" + html
    assert mime_message.parse(raw).body_html.endswith("Żółć")


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
    assert mime_message.parse(raw).body_text == shown


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
    parsed = mime_message.parse(multipart(b"\r\nhello", part))
    assert [a.filename for a in parsed.attachments] == [filename]


def test_a_picture_between_texts_has_a_name_that_every_database_takes() -> None:
    picture = b'Content-Type: image/png; name="a\x00\xed\xa0\x80.png"\r\n\r\nPNG'
    page = mime_message.parse(multipart(b"\r\none", picture, b"\r\ntwo")).body_html
    assert "<img " in page and "\0" not in page
    page.encode()


def test_a_long_file_name_keeps_its_extension_within_255_bytes() -> None:
    part = f"Content-Type: application/pdf; name={'é' * 300}.pdf\r\n\r\nx".encode()
    (attachment,) = mime_message.parse(multipart(part)).attachments
    assert len(attachment.filename.encode()) <= 255
    assert attachment.filename.endswith("é.pdf")


@pytest.mark.parametrize("encoding", ["base64", "BASE64 ", "8bit", "binary", "x-unknown"])
def test_attachments_come_back_byte_for_byte(encoding: str) -> None:
    octets = bytes(range(256)) * 3 + b"\r\n\n\r end"
    content = base64.encodebytes(octets) if "64" in encoding.lower() else octets
    head = f"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    raw = multipart(b"\r\nhello", head + content)
    (attachment,) = mime_message.parse(raw).attachments
    assert mime_message.attachment_bytes(raw, 0) == octets
    assert (attachment.size, attachment.digest) == (len(octets), hashlib.sha256(octets).hexdigest())


@pytest.mark.parametrize("position", [-1, 1, 99])
def test_an_attachment_that_is_not_there_is_an_index_error(position: int) -> None:
    with pytest.raises(IndexError):
        mime_message.attachment_bytes(multipart(b"Content-Type: image/png\r\n\r\nx"), position)


@pytest.mark.parametrize(
    "inner",
    [
        b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nX-Odd:   spaces \r\n\r\nline\nbare\r\n\ttab",
        b"Subject: Gr\xfc\xdfe\n\nlf only\n",
    ],
)
def test_a_forwarded_message_is_one_attachment_with_its_exact_bytes(inner: bytes) -> None:
    raw = multipart(b"\r\nsee below", b"Content-Type: message/rfc822\r\n\r\n" + inner)
    (attachment,) = mime_message.parse(raw).attachments
    assert (attachment.filename, attachment.content_type) == ("Grüße.eml", "message/rfc822")
    assert mime_message.attachment_bytes(raw, 0) == inner


def test_inline_images_are_found_by_content_id() -> None:
    raw = multipart(
        b'Content-Type: text/html\r\n\r\n<img src="cid:logo@x">',
        b"Content-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nUE5H",
        subtype="related",
    )
    assert mime_message.inline_images(raw) == {"logo@x": ("image/png", b"PNG")}
    (attachment,) = mime_message.parse(raw).attachments
    assert (attachment.is_inline, attachment.content_id) == (True, "logo@x")


@pytest.mark.parametrize(
    "stated",
    [
        *("<<logo@x>>", '"logo@x"', '"<logo@x>"', "<cid:logo@x>", "cid:logo@x", "<logo@x> (the logo)", "< logo@x >"),
        *("(the logo) <logo@x>", "=?utf-8?Q?=3Clogo=40x=3E?=", "\r\n <logo@x>", "logo@x"),
    ],
)
def test_a_content_id_is_the_same_in_every_form(stated: str) -> None:
    part = f"Content-Type: image/png\r\nContent-ID: {stated}\r\n\r\nPNG".encode()
    raw = multipart(b'Content-Type: text/html\r\n\r\n<img src="cid:logo@x">', part, subtype="related")
    assert mime_message.inline_images(raw) == {"logo@x": ("image/png", b"PNG")}


def test_a_picture_called_bytes_is_shown_by_its_name() -> None:
    png = b"\x89PNG\r\n\x1a\n..."
    part = b"Content-Type: application/octet-stream; name=fax.png\r\n\r\n"
    html = b'Content-Type: text/html\r\n\r\n<img src="fax.png">'
    assert mime_message.shown_images(multipart(html, part + png))["fax.png"] == ("image/png", png)
    assert not mime_message.shown_images(multipart(html, part + b"%PDF-1.4"))


@pytest.mark.parametrize(("content", "is_image"), [(b"\x89PNG\r\n\x1a\n...", True), (b"%PDF-1.4", False)])
def test_an_image_of_the_text_may_be_called_just_bytes(content: bytes, is_image: bool) -> None:
    part = b"Content-Type: application/octet-stream; name=logo\r\nContent-ID: <logo@x>\r\n\r\n" + content
    raw = multipart(b'Content-Type: text/html\r\n\r\n<img src="cid:logo@x">', part, subtype="related")
    assert mime_message.inline_images(raw) == ({"logo@x": ("image/png", content)} if is_image else {})
    assert mime_message.parse(raw).attachments[0].is_inline is is_image


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
    parsed = mime_message.parse(multipart(b"\r\nhello", f"Content-Type: {content_type}\r\n\r\nx".encode()))
    assert [a.filename for a in parsed.attachments] == [filename]


def test_a_wholly_encrypted_message_is_an_attachment_without_a_body() -> None:
    parsed = mime_message.parse(
        HEAD + b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nUE5H\r\n"
    )
    assert (parsed.body_text, [a.filename for a in parsed.attachments]) == ("", ["smime.p7m"])


def test_a_second_html_part_is_shown_behind_the_first_and_a_blank_one_nowhere() -> None:
    parts = [b"<p>first</p>", b"<html><body><br> &nbsp;</body></html>", b"<p>second</p>"]
    parsed = mime_message.parse(multipart(*(b"Content-Type: text/html\r\n\r\n" + part for part in parts)))
    assert (parsed.body_html, parsed.attachments) == ("<p>first</p>\n<p>second</p>", ())


def test_an_attachment_is_found_by_its_bytes_where_an_older_parser_counted_otherwise() -> None:
    parts = [b"Content-Type: application/pdf; name=%d.pdf\r\n\r\n%d" % (n, n) for n in range(3)]
    raw = multipart(*parts)
    read = mime_message.parse(raw).attachments
    for position in (0, 1, 2, 3, 99):
        for each in read:
            octets = mime_message.attachment_bytes(raw, position, each.digest)
            assert octets == b"%d" % each.position
            assert b"".join(mime_message.attachment_content(raw, position, each.digest).pieces) == octets
    assert mime_message.attachment_bytes(raw, 1, "0" * 64) == b"1"  # decoded better since
    with pytest.raises(IndexError):
        mime_message.attachment_bytes(raw, 3, "0" * 64)
    with pytest.raises(IndexError):
        mime_message.attachment_bytes(raw, -1)
