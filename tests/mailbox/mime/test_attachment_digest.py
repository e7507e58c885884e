"""A large attachment is measured piece by piece, with the same outcome as when it is decoded at once."""

from __future__ import annotations

import base64
import hashlib
import mmap
import os
from pathlib import Path

import pytest

from mailbox.mime import attachment_digest, base64_content
from mailbox.mime import message as mime_message

SOME = os.urandom(attachment_digest.LARGE + 12_345)


def encoded(content: bytes, line: int = 57) -> bytes:
    return b"".join(base64.b64encode(content[at : at + line]) + b"\r\n" for at in range(0, len(content), line))


@pytest.mark.parametrize("count", [attachment_digest.LARGE, attachment_digest.LARGE + 1, attachment_digest.LARGE + 2])
def test_base64_in_lines_is_measured_whatever_its_padding(count: int) -> None:
    found = attachment_digest.measure("base64", memoryview(encoded(SOME[:count])))
    assert found is not None
    assert (found.size, found.digest) == (count, hashlib.sha256(SOME[:count]).hexdigest())
    assert found.head == SOME[:65_536]


def test_what_has_no_encoding_is_measured_as_it_is() -> None:
    found = attachment_digest.measure("8bit", memoryview(SOME))
    assert found is not None
    assert (found.size, found.digest) == (len(SOME), hashlib.sha256(SOME).hexdigest())


@pytest.mark.parametrize("odd", [b"*", b"=", b"\x00", b"-"])
def test_anything_odd_is_left_to_the_whole_decoder(odd: bytes) -> None:
    letters = encoded(SOME)
    broken = letters[:2_000_000] + odd + letters[2_000_000:]
    assert attachment_digest.measure("base64", memoryview(broken)) is None


def test_padding_that_ends_early_in_the_last_piece_is_read_as_the_whole_decoder_reads_it() -> None:
    letters = encoded(SOME[: attachment_digest.LARGE]) + b"YQ==YmM=\r\n"
    found = attachment_digest.measure("base64", memoryview(letters))
    whole, _ = base64_content.decode(letters)
    assert found is None or (found.size, found.digest) == (len(whole), hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize("encoding", ["quoted-printable", "x-uuencode"])
def test_other_encodings_are_decoded_as_a_whole(encoding: str) -> None:
    assert attachment_digest.measure(encoding, memoryview(SOME)) is None


def test_small_ones_are_decoded_at_once() -> None:
    assert attachment_digest.measure("base64", memoryview(encoded(b"x" * 100))) is None


def test_a_message_is_read_from_a_file_as_from_memory(tmp_path: Path) -> None:
    raw = (
        b"From: ann@example.com\r\nMessage-ID: <big@example.com>\r\nSubject: Big\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n'
        b"--b\r\nContent-Type: application/pdf; name=big.pdf\r\nContent-Disposition: attachment\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded(SOME) + b"\r\n--b--\r\n"
    )
    path = tmp_path / "big.eml"
    path.write_bytes(raw)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        parsed = mime_message.parse(mapped)  # type: ignore[arg-type]
        assert parsed == mime_message.parse(raw)
    assert parsed.body_text == "See the file."
    (attachment,) = parsed.attachments
    assert (attachment.size, attachment.digest) == (len(SOME), hashlib.sha256(SOME).hexdigest())
