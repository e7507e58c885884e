"""More forms of mail: recipes of damaged octets, line ends the wrong way round, and files within texts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator

from tests.mailbox.mime.odd_mail import PDF, OddMail, head, pdf_part


def damaged_utf8(text: str) -> Iterator[OddMail]:
    """UTF-8 with an octet that is none, as gateways cut it and list servers append another charset's footer."""
    if text.isascii():
        return
    octets = text.encode()
    for label in ("utf-8", "iso-8859-1", "windows-1251", "koi8-r", "us-ascii"):
        raw = head(f"text/plain; charset={label}") + b"\r\n" + octets + b" \xff end"
        yield OddMail(f"UTF-8 called {label} with an odd octet", raw, f"{text} \ufffd end", defect="CharsetDefect")
        raw = head(f"text/plain; charset={label}") + b"\r\n" + octets + "。".encode()[:2]
        yield OddMail(f"UTF-8 called {label}, cut within a letter", raw, f"{text}\ufffd", defect="CharsetDefect")


def line_ends(text: str) -> Iterator[OddMail]:
    raw = head("text/plain; charset=utf-8") + b"\r\n" + text.encode() + b"\r\nlast"
    yield OddMail("LF CR", raw.replace(b"\r\n", b"\n\r"), f"{text} last", defect="LineEndDefect")


def boundaries(text: str) -> Iterator[OddMail]:
    plain = f"--B \r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    for name, closing in (
        ("", b"--B --\r\n"),
        (", its end without", b"--B--\r\n"),
        (", its end with more", b"--B -- \r\n"),
    ):
        raw = head('multipart/mixed; boundary="B "') + b"\r\n" + plain + pdf_part("B ") + closing
        defect = "BoundaryGuessedDefect" if b" --" in closing else ""
        yield OddMail(f"boundary with a blank at its end{name}", raw, text, files={"a.pdf": PDF}, defect=defect)


def files_within(text: str) -> Iterator[OddMail]:
    """Code in a text whose spaces at the ends of lines were taken off, or that is encoded once more."""
    zeros = bytes(100) + b"x" + bytes(30)
    lines = [binascii.b2a_uu(zeros[at : at + 45]).rstrip() for at in range(0, len(zeros), 45)]
    code = b"\r\n".join((b"begin 644 a.bin", *lines, b"", b"end", b""))
    raw = head("text/plain; charset=utf-8") + b"\r\n" + text.encode() + b"\r\n\r\n" + code + b"behind"
    said = f"{text} behind"
    yield OddMail("uuencoded without spaces", raw, said, files={"a.bin": zeros}, defect="EmbeddedFileDefect")
    rows = b"".join(binascii.b2a_uu(PDF[at : at + 45]) for at in range(0, len(PDF), 45))
    whole = text.encode() + b"\n\nbegin 644 a.pdf\n" + rows + b"`\nend\nbehind"
    raw = (
        head("text/plain; charset=utf-8", "Content-Transfer-Encoding: base64\r\n") + b"\r\n" + base64.encodebytes(whole)
    )
    yield OddMail("uuencoded within base64", raw, said, files={"a.pdf": PDF}, defect="EmbeddedFileDefect")
    shouted = f"{text} begin 644 IS A COMMAND end"
    raw = head("text/plain; charset=utf-8") + f"\r\n{text}\r\nbegin 644 IS A COMMAND\r\nend".encode()
    yield OddMail("a line like the beginning of code, and no code", raw, shouted)


def attached_root(text: str) -> Iterator[OddMail]:
    """A message that is one text file: shown as its body, and there as the file."""
    octets = f"{text}\r\n".encode()
    more = 'Content-Disposition: attachment; filename="notes.txt"\r\n'
    raw = head("text/plain; charset=utf-8", more) + b"\r\n" + octets
    yield OddMail("a text file and nothing else", raw, text, files={"notes.txt": octets})


RECIPES: tuple[Callable[[str], Iterator[OddMail]], ...] = (
    *(damaged_utf8, line_ends, boundaries, files_within, attached_root),
)
