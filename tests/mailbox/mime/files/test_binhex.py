"""Files in BinHex 4.0 (RFC 1741), written here as a Macintosh wrote them."""

from __future__ import annotations

import binascii
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbox.mime import message as mime_message
from mailbox.mime.files import binhex
from tests.mailbox.mime.mime_messages import HEAD

LETTERS = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"


def written(name: bytes, data: bytes) -> bytes:
    """By the RFC, bit by bit; runs of more than three are packed."""
    header = bytes([len(name)]) + name + struct.pack(">x4s4sHLL", b"TEXT", b"ttxt", 0, len(data), 0)
    content = b"".join(part + struct.pack(">H", binascii.crc_hqx(part, 0)) for part in (header, data, b""))
    packed, position = b"", 0
    while position < len(content):
        byte = content[position]
        run = 1
        while run < 255 and content[position + run : position + run + 1] == bytes([byte]):
            run += 1
        once = b"\x90\x00" if byte == 0x90 else bytes([byte])
        packed += once + (bytes([0x90, run]) if run > 3 else once * (run - 1))
        position += run
    bits = "".join(f"{byte:08b}" for byte in packed)
    bits += "0" * (-len(bits) % 6)
    code = "".join(LETTERS[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6))
    lines = "\r\n".join(f":{code}:"[at : at + 64] for at in range(0, len(code) + 2, 64))
    return b"(This file must be converted with BinHex 4.0)\r\n\r\n" + lines.encode() + b"\r\n"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.sampled_from([b"\x90" * 144, b"a" * 144, b"x" * 1000, b"\x90\x00", b"a\x90b"]))
def test_what_is_written_is_read(data: bytes) -> None:
    code = written(b"Report", data).split(b":")[1]
    assert binhex.read(code) == binhex.BinHexFile("Report", data)


def test_a_file_in_a_text_is_an_attachment_with_its_name_and_bytes() -> None:
    raw = HEAD + b"\r\nSee below.\r\n" + written("B\u00e9la.pdf".encode("mac-roman"), b"%PDF-1.4" * 40) + b"Bye.\r\n"
    parsed = mime_message.parse(raw)
    (file,) = parsed.attachments
    assert (file.filename, file.content_type) == ("B\u00e9la.pdf", "application/pdf")
    assert mime_message.attachment_bytes(raw, 0) == b"%PDF-1.4" * 40
    assert parsed.body_text.split() == ["See", "below.", "Bye."]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_damaged_one_is_none(cut: int) -> None:
    code = written(b"Report", b"0123456789" * 20).split(b":")[1]
    assert binhex.read(code[:-cut]) is None or cut < 4  # behind the data only the resource fork's checksum
    assert binhex.read(code[:80] + b"!!!!" + code[84:]) is None


@given(st.binary(max_size=200) | st.text(LETTERS, max_size=200).map(str.encode))
def test_no_bytes_raise_an_exception(code: bytes) -> None:
    binhex.read(code)


def test_a_bomb_is_bounded() -> None:
    assert binhex._repeated(b"a" + b"\x90\xff" * 400_000) is None
