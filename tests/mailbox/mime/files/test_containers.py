"""What lies within a signed message, and files that are written into a text."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from mailbox.mime import message as mime_message
from mailbox.mime.files import embedded_files, smime
from mailbox.views.reading import parse_warnings
from tests.mailbox.mime.mime_messages import HEAD

INNER = (
    b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n"
    b"Content-Type: text/plain\r\n\r\nThe reset is approved.\r\n"
    b"--i\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4\r\n--i--\r\n"
)


def signed(content: bytes, name: str = "Ann Example") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    unsigned = x509.CertificateBuilder(subject, subject, key.public_key(), 7, begin, begin + timedelta(days=9))
    certificate = unsigned.sign(key, hashes.SHA256())
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


OPAQUE = "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m"


def opaque(der: bytes, stated: str = OPAQUE) -> bytes:
    head = f"Content-Type: {stated}\r\n".encode()
    return HEAD + head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(der)


@pytest.mark.parametrize(
    "stated", [OPAQUE, "application/x-pkcs7-mime; name=smime.p7m", 'application/octet-stream; name="smime.p7m"']
)
def test_an_opaque_signed_message_is_read_and_its_signer_named_as_not_verified(stated: str) -> None:
    raw = opaque(signed(INNER), stated)
    parsed = mime_message.parse(raw)
    assert (parsed.body_text, parsed.snippet) == ("The reset is approved.", "The reset is approved.")
    assert [each.filename for each in parsed.attachments] == ["smime.p7m", "a.pdf"]
    assert mime_message.attachment_bytes(raw, 1) == b"%PDF-1.4"
    (said,) = parse_warnings.signatures(parsed.defects)
    assert "Ann Example" in said
    assert "not verified" in said
    assert parse_warnings.sentences(parsed.defects) == []


@pytest.mark.parametrize(
    "content",
    [
        b"The reset is approved.\r\n",
        b"Decision: approved.\r\n",
        b"Content-Type: message/rfc822\r\n\r\nSubject: reset\r\n\r\nThe reset is approved.\r\n",
    ],
)
def test_a_signed_text_without_a_header_and_a_signed_mail_are_read(content: bytes) -> None:
    parsed = mime_message.parse(opaque(signed(content)))
    assert parsed.body_text.split()[-1] == "approved."
    assert parsed.body_text.split()[0] in ("The", "Decision:")
    assert [each.filename for each in parsed.attachments] == ["smime.p7m"]


def test_a_message_that_is_signed_twice_is_read_and_both_signers_are_named() -> None:
    raw = opaque(signed(opaque(signed(INNER)), "Bob Example"))
    parsed = mime_message.parse(raw)
    assert parsed.body_text == "The reset is approved."
    assert [each.filename for each in parsed.attachments] == ["smime.p7m", "smime.p7m", "a.pdf"]
    assert mime_message.attachment_bytes(raw, 2) == b"%PDF-1.4"
    assert len(parse_warnings.signatures(parsed.defects)) == 2


def test_signed_messages_in_signed_messages_end() -> None:
    der = signed(INNER)
    for _ in range(8):
        der = signed(opaque(der))
    parsed = mime_message.parse(opaque(der))
    assert (parsed.body_text, len(parsed.attachments)) == ("", 5)


@pytest.mark.parametrize("cut", [1, 40, 200, 700])
def test_a_damaged_signed_message_stays_an_attachment(cut: int) -> None:
    parsed = mime_message.parse(opaque(signed(INNER)[:-cut]))
    assert [each.filename for each in parsed.attachments][:1] == ["smime.p7m"]


@pytest.mark.parametrize(
    "octets",
    [
        b"\x30\x80" * 200_000,
        b"\x30\x82\xff\xff" * 100_000,
        b"\x30" + b"\xff" * 400_000,
        b"\x30\x80" * 15 + b"\x24\x80" * 200_000,
    ],
    ids=["open lengths", "nested", "odd length", "open strings"],
)  # fmt: skip
def test_hostile_signed_data_costs_little(octets: bytes) -> None:
    begun = time.process_time()
    assert smime.read(octets) is None
    assert time.process_time() - begun < 1


BINHEX = b"(This file must be converted with BinHex 4.0)\r\n\r\n:$f*TEQKPH#jdH:\r\n"


def test_a_file_in_binhex_is_an_attachment_as_it_is() -> None:
    raw = HEAD + b"\r\nSee below.\r\n" + BINHEX + b"Bye.\r\n"
    parsed = mime_message.parse(raw)
    assert parsed.body_text.split() == ["See", "below.", "Bye."]
    assert [(each.filename, each.content_type) for each in parsed.attachments] == [
        ("binhex-1.hqx", "application/mac-binhex40")
    ]
    assert mime_message.attachment_bytes(raw, 0) == BINHEX


@pytest.mark.parametrize(
    "text",
    [
        *(b"begin 644 things today\nWe start.\nend\n", b"begin 644 a.txt\nand never end\n", b"I begin 644 a.txt\n"),
        b"begin 1000 pages\n \nand read them\n",
    ],
)
def test_a_sentence_that_begins_so_stays_a_sentence(text: bytes) -> None:
    assert embedded_files.apart(text) == (text, [])


@pytest.mark.parametrize(
    "text",
    [b"begin 644 a\n" * 40_000, b"begin 644 a\n`\n" * 30_000, b"begin 644 a\nx\n" * 30_000 + b"end\n",
     b"BinHex 4.0\n:aaa" * 30_000, b"BinHex 4" * 60_000, b"end\n" * 100_000],
)  # fmt: skip
def test_files_in_a_hostile_text_are_looked_for_in_linear_time(text: bytes) -> None:
    begun = time.process_time()
    embedded_files.apart(text)
    assert time.process_time() - begun < 1
