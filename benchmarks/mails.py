"""Mail to measure with: 26 kB on average, 70 % with HTML, 10 % with a PDF of up to 200 kB. The same on every run."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.utils import format_datetime
from itertools import accumulate
from random import Random

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
APART = timedelta(minutes=7)
VOCABULARY = 20_000
LETTERS = "etaoinshrdlcumwfgypbvk"
ACCENTED = ("Grüße", "café", "naïve", "Łódź", "smörgås")


STYLE = " ".join(
    f".c{place} p {{margin:0 0 {place}px 0;line-height:1.4;color:#30{place:02d}44}}" for place in range(12)
)


def _vocabulary() -> list[str]:
    chance = Random("vocabulary")
    words = ["".join(chance.choices(LETTERS, k=chance.randint(2, 11))) for _ in range(VOCABULARY - len(ACCENTED))]
    return [*words, *ACCENTED]


WORDS = _vocabulary()
# As in a language: the n-th word about 1/n as often as the first (Zipf's law). A text is a piece of this long one.
LONG_TEXT = Random("text").choices(
    WORDS, cum_weights=list(accumulate(1 / (rank + 3) for rank in range(len(WORDS)))), k=500_000
)


def _words(chance: Random, count: int) -> str:
    start = chance.randrange(len(LONG_TEXT) - count)
    return " ".join(LONG_TEXT[start : start + count])


def mark(number: int) -> str:
    """A word that only this mail holds."""
    return f"mark{number}x"


def received_at(number: int) -> datetime:
    """The INTERNALDATE of the mail with this number."""
    return FIRST + APART * number


def mail(number: int, seed: str = "mail") -> bytes:
    """The mail with this number, line ends CRLF."""
    chance = Random(f"{seed}-{number}")
    has_html, has_pdf = chance.random() < 0.7, chance.random() < 0.1
    paragraphs = [
        _words(chance, chance.randint(15, 110))
        for _ in range(chance.randint(3, 14) if has_html else chance.randint(8, 30))
    ]
    paragraphs.append(f"The mark of this mail is {mark(number)}.")
    body = _alternative(paragraphs, number) if has_html else _text(paragraphs)
    if has_pdf:
        body = _mixed(body, chance, number)
    return _headers(chance, number, seed) + body


def mails(count: int, seed: str = "mail", first: int = 0) -> Iterator[tuple[bytes, datetime]]:
    """Raw bytes and INTERNALDATE, oldest first."""
    for number in range(first, first + count):
        yield mail(number, seed), received_at(number)


def small_mail(number: int, seed: str = "small") -> bytes:
    """About 1 kB, plain text."""
    chance = Random(f"{seed}-{number}")
    text = _wrapped(f"{_words(chance, 110)} {mark(number)}")
    return _short_headers(number, seed) + _crlf(text)


def big_mail(number: int, size: int) -> bytes:
    """One mail of `size` bytes, nearly all of it an attachment of type PDF."""
    content = Random(f"big-{number}").randbytes(size * 74 // 100)
    part = _part("application/pdf", base64.encodebytes(content), "base64", 'attachment; filename="big.pdf"')
    return _short_headers(number, "big", 'multipart/mixed; boundary="big"') + (
        b"--big\r\n" + _text([f"See the file. {mark(number)}"]) + b"\r\n--big\r\n" + part + b"\r\n--big--\r\n"
    )


def _headers(chance: Random, number: int, seed: str) -> bytes:
    date = received_at(number)
    subject = " ".join(chance.choices(WORDS[:3000], k=chance.randint(3, 9)))
    if number % 10 == 0:
        subject = Header(f"{subject} {chance.choice(ACCENTED)}", "utf-8").encode(linesep="\r\n")
    hops = [
        f"Received: from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{hop + 1}])\r\n"
        f"\tby in{hop}.example.org (Postfix) with ESMTPS id {chance.getrandbits(48):012X}\r\n"
        f"\tfor <ann@example.org>; {format_datetime(date - timedelta(seconds=hop))}"
        for hop in range(3)
    ]
    signature = base64.b64encode(chance.randbytes(192)).decode()
    lines = [
        *hops,
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=s1;\r\n\tb="
        + "\r\n\t ".join(signature[start : start + 70] for start in range(0, len(signature), 70)),
        f"From: Person {chance.randint(1, 400)} <p{chance.randint(1, 400)}@example.net>",
        "To: Ann Example <ann@example.org>, Team <team@example.org>",
        f"Subject: {subject}",
        f"Date: {format_datetime(date)}",
        f"Message-ID: <{seed}-{number}-{chance.getrandbits(64):x}@example.net>",
        f"In-Reply-To: <{seed}-{max(number - 5, 0)}@example.net>",
        "List-Unsubscribe: <https://example.net/unsubscribe>",
        "MIME-Version: 1.0",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def _short_headers(number: int, seed: str, content_type: str = "text/plain; charset=utf-8") -> bytes:
    return (
        f"From: Person {number % 400} <p{number % 400}@example.net>\r\nTo: Ann <ann@example.org>\r\n"
        f"Subject: {WORDS[number % VOCABULARY]} {number}\r\nDate: {format_datetime(received_at(number))}\r\n"
        f"Message-ID: <{seed}-{number}@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n"
    ).encode()


def _part(content_type: str, content: bytes, encoding: str, disposition: str = "") -> bytes:
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    head += f"Content-Disposition: {disposition}\r\n" if disposition else ""
    return head.encode() + b"\r\n" + content.replace(b"\n", b"\r\n")


def _wrapped(text: str) -> str:
    """Lines of at most some 76 characters."""
    lines: list[str] = []
    line: list[str] = []
    length = 0
    for word in text.split(" "):
        if length + len(word) > 75:
            lines.append(" ".join(line))
            line, length = [], 0
        line.append(word)
        length += len(word) + 1
    return "\n".join([*lines, " ".join(line)])


def _crlf(text: str) -> bytes:
    return text.encode().replace(b"\n", b"\r\n") + b"\r\n"


def _text(paragraphs: list[str]) -> bytes:
    text = "\n\n".join(map(_wrapped, paragraphs)) + "\n"
    return _part("text/plain; charset=utf-8", text.encode(), "8bit")


def _alternative(paragraphs: list[str], number: int) -> bytes:
    style = 'style="font-family:Helvetica,Arial,sans-serif;font-size:14px;color:#333333;margin:0 0 12px 0"'
    blocks = "\n".join(
        f'<tr><td {style}><p class="c{place}">{paragraph} <a href="https://example.net/r/{number}/{place}">more</a>'
        "</p></td></tr>"
        for place, paragraph in enumerate(paragraphs)
    )
    html = (
        f"<!DOCTYPE html>\n<html><head><title>{mark(number)}</title><style>{STYLE}</style></head>\n"
        f'<body><table width="600">\n{blocks}\n</table>\n<img src="https://example.net/pixel/{number}.gif"></body></html>\n'
    )
    edge = f"alt-{number}"
    plain = _part(
        "text/plain; charset=utf-8", quopri.encodestring("\n\n".join(paragraphs).encode()), "quoted-printable"
    )
    rich = _part("text/html; charset=utf-8", quopri.encodestring(html.encode()), "quoted-printable")
    return _multipart("alternative", edge, [plain, rich])


def _mixed(body: bytes, chance: Random, number: int) -> bytes:
    pdf = b"%PDF-1.4\n" + chance.randbytes(chance.randint(55_000, 147_000))  # up to 200 kB once encoded
    name = f'attachment; filename="report-{number}.pdf"'
    return _multipart(
        "mixed", f"mix-{number}", [body, _part("application/pdf", base64.encodebytes(pdf), "base64", name)]
    )


def _multipart(kind: str, edge: str, parts: list[bytes]) -> bytes:
    opening = f"--{edge}\r\n".encode()
    inner = b"".join(opening + part + b"\r\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{edge}"\r\n\r\n'.encode() + inner + f"--{edge}--\r\n".encode()
