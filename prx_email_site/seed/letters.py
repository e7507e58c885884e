"""The letters of a seeded database: a few thousand mails, each of which is used many times. Pure and deterministic."""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

VOCABULARY = 20_000
PEOPLE = 500
_PDF, _PADDING = b"%PDF-1.4\n%%EOF\n", b"% nothing but room, as scanned pages take it\n"
_ZIP = b"PK\x05\x06" + bytes(18)  # an empty archive
_ONSETS = (
    "b",
    "br",
    "c",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "io", "ou")
_ENDS = ("", "", "n", "r", "s", "t", "l", "nd", "rk")
# Scripts whose text is indexed as pairs of characters, and one written from right to left: the index must handle them.
OTHER_SCRIPTS = (
    "年度报告已经完成请查收附件。会议改到星期三下午举行",
    "請求書を添付しました。ご確認をお願いいたします",
    "보고서를 첨부합니다 회의는 수요일입니다",
    "مرحبا بكم في الاجتماع السنوي يوم الأربعاء",
)


@dataclass(frozen=True)
class SampleFile:
    """An attachment whose bytes match its type."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


def file_of(number: int) -> SampleFile:
    """The attachment with this number. One in ten exceeds 100 kB, one in a hundred 1 MB; none is a picture, sound or
    video."""
    name = f"{word(3_000 + number % 200)}-{number}"
    if number % 7 == 2:
        return SampleFile(f"{name}.txt", "text/plain", f"Notes on {name}\n".encode())
    if number % 7 == 4:
        return SampleFile(f"{name}.zip", "application/zip", _ZIP)
    lines = 27_000 if number % 100 == 63 else 3_000 if number % 10 == 3 and number % 100 < 13 else 0
    return SampleFile(f"{name}.pdf", "application/pdf", _PDF + lines * _PADDING)


@dataclass(frozen=True)
class SeededMessage:
    """Values for the model's columns of the same names. `filename`: "" for a letter without attachment."""

    sender: str
    sender_address: str
    recipients: str
    subject: str
    body_text: str
    body_html: str
    filename: str
    raw: bytes = field(repr=False)
    file: SampleFile | None = None
    cc: str = ""
    bcc: str = ""
    attached_text: str = ""

    @cached_property
    def snippet(self) -> str:
        """The beginning of the text, as lists show it."""
        return " ".join(self.body_text.split())[:120]


def word(number: int) -> str:
    """The word with this rank in the vocabulary; 0 is the most frequent one."""
    chance = random.Random(number)  # noqa: S311 - no secret: a seeded database is the same on each run
    syllables = 1 if number < 60 else 2 if number < 4_000 else 3
    made = "".join(chance.choice(_ONSETS) + chance.choice(_VOWELS) for _ in range(syllables))
    return made + chance.choice(_ENDS) + ("" if number < 60 else chance.choice("aeiou"))


def letters(count: int) -> list[SeededMessage]:
    """The first `count` letters. The frequency of a word is inversely proportional to its rank (Zipf's law)."""
    chance = random.Random(count)  # noqa: S311 - as above
    vocabulary = [word(number) for number in range(VOCABULARY)]
    shares = list(itertools.accumulate(1 / (rank + 2) for rank in range(VOCABULARY)))
    return [_letter(number, chance, vocabulary, shares) for number in range(count)]


def _letter(number: int, chance: random.Random, vocabulary: Sequence[str], shares: Sequence[float]) -> SeededMessage:
    def some(least: int, most: int) -> list[str]:
        return chance.choices(vocabulary, cum_weights=shares, k=chance.randint(least, most))

    person = chance.randrange(PEOPLE)
    first, last = word(100 + person), word(700 + person)
    address = f"{first}.{last}{person}@{word(1_300 + person % 40)}.example"
    text = " ".join(some(20, 70)).capitalize() + "."
    subject = " ".join(some(2, 6)).capitalize()
    if number % 12 == 5:
        script = OTHER_SCRIPTS[number // 12 % len(OTHER_SCRIPTS)]
        start = chance.randrange(len(script) // 2)
        subject, text = f"{script[start : start + 8]} {subject}", f"{script} {text}"
    file = file_of(number // 10) if number % 10 == 3 else None
    # The HTML has no words besides those of the text, which the index would put after the text's words.
    html = f"<p>{text}</p>" if number % 4 == 0 else ""
    values: dict[str, Any] = {
        "sender": f"{first.capitalize()} {last.capitalize()} <{address}>",
        "recipients": f"{word(2_000 + number % 300)}@site.example",
        "subject": subject,
        "body_text": f"{text}\n",
        "body_html": html,
    }
    filename = file.filename if file else ""
    return SeededMessage(sender_address=address, raw=_raw(**values, file=file), file=file, filename=filename, **values)


def _raw(
    *, sender: str, recipients: str, subject: str, body_text: str, body_html: str, file: SampleFile | None
) -> bytes:
    """The raw mail. Built by hand, as the standard library takes 3 ms for each."""
    words = base64.b64encode(subject.encode()).decode()
    head = f"From: {sender}\r\nTo: {recipients}\r\nSubject: =?utf-8?b?{words}?=\r\n"
    head += "Date: Mon, 01 Jun 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    parts = [_part("text/plain; charset=utf-8", body_text)]
    if body_html:
        parts.append(_part("text/html; charset=utf-8", body_html))
    if file:
        lines = base64.encodebytes(file.content).decode().replace("\n", "\r\n")
        parts.append(_part(f'{file.content_type}; name="{file.filename}"', lines, "base64", "attachment"))
    if len(parts) == 1:
        return f"{head}{parts[0]}".encode()
    kind = "mixed" if file else "alternative"
    inner = "".join(f"--=_seed\r\n{part}\r\n" for part in parts)
    return f'{head}Content-Type: multipart/{kind}; boundary="=_seed"\r\n\r\n{inner}--=_seed--\r\n'.encode()


def _part(content_type: str, text: str, encoding: str = "8bit", disposition: str = "") -> str:
    """One MIME part with its header fields."""
    said = f"Content-Disposition: {disposition}\r\n" if disposition else ""
    return f"Content-Type: {content_type}\r\n{said}Content-Transfer-Encoding: {encoding}\r\n\r\n{text}"
