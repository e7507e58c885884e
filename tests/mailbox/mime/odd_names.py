"""Names, subjects and structures as careless senders write them: recipes beside those of odd_mail."""

from __future__ import annotations

import base64
import binascii
import quopri
from collections.abc import Callable, Iterator
from urllib.parse import quote

from tests.mailbox.mime.odd_mail import HEAD, PDF, OddMail, head, pdf_part

LEGACY = {
    "Grüße aus Köln, café": ("cp1252",),
    "Привет из Москвы": ("cp1251", "koi8_r", "iso8859_5", "cp866"),
    "障害のお知らせです": ("cp932", "euc_jp", "iso2022_jp"),
    "회의 안내": ("cp949",),
    "发票请查收": ("gb18030",),
}


def _escaped(text: str) -> str:
    return "".join(f"={octet:02X}" for octet in text.encode())


def file_names(text: str) -> Iterator[OddMail]:
    """A file's name in forms that RFC 2231 and RFC 2047 do not know, or forbid."""
    name = f"{text.replace(' ', '-')}.pdf"
    coded, word = quote(name), base64.b64encode(name.encode()).decode()
    twice = word.replace("=", "=3D")
    half = len(coded) // 2 // 3 * 3 + 1 if "%" in coded else len(coded) // 2  # within an escape
    stated = {
        "cut within an escape": f"attachment; filename*0*=utf-8''{coded[:half]}; filename*1*={coded[half:]}",
        "its charset in each piece": f"attachment; filename*0*=utf-8''{coded[:-4]}; filename*1*=utf-8''{coded[-4:]}",
        "a word encoded twice": f'attachment; filename="=?utf-8?Q?=3D=3Futf-8=3FB=3F{twice}=3F=3D?="',
        "a word without its end": f'attachment; filename="=?utf-8?B?{word}"',
        "a word with half its end": f'attachment; filename="=?utf-8?B?{word}?"',
        "an empty one before": f'attachment; filename=""; filename="=?utf-8?B?{word}?="',
        "in a second field": f'attachment\r\nContent-Disposition: attachment; filename="=?utf-8?B?{word}?="',
        "all of the field a word": f"=?utf-8?Q?attachment;_filename=3D{_escaped(name)}?=",
    }
    if not name.isascii():
        stated["escaped as in an address"] = f'attachment; filename="{coded}"'
    for kind, field in stated.items():
        body = f"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
        raw = head("multipart/mixed; boundary=B") + b"\r\n" + body + pdf_part("B", field) + b"--B--\r\n"
        yield OddMail(f"name with {kind}", raw, text, files={name: PDF})
    raw = head("multipart/mixed; boundary=B") + b"\r\n"
    part = b"--B\r\n" + pdf_part("B", "attachment; filename==?utf-8?Q?a;b=2Epdf?=").removeprefix(b"--B\r\n")
    yield OddMail("name with a semicolon in a bare word", raw + part + b"--B--\r\n", "", files={"a;b.pdf": PDF})
    for codec in LEGACY.get(text, ()):
        raw_field = b'attachment; filename="' + name.encode(codec) + b'"'
        part = pdf_part("B", "X").replace(b"Content-Disposition: X", b"Content-Disposition: " + raw_field)
        yield OddMail(f"raw name in {codec}", raw + part + b"--B--\r\n", "", files={name: PDF})


def subjects(text: str) -> Iterator[OddMail]:
    """Encoded words cut, folded within, with a mark first; raw text in no charset that anything names."""
    words = {
        "without its end": f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}",
        "with half its end": f"=?utf-8?Q?{_escaped(text)}?",
        "folded within an escape": f"=?utf-8?Q?{_escaped(text)[:4]}\r\n {_escaped(text)[4:]}?=",
        "with a byte order mark": f"=?utf-8?Q?=EF=BB=BF{_escaped(text)}?=",
        "below an empty subject": f"\r\nSubject: =?utf-8?Q?{_escaped(text)}?=",
    }
    for kind, word in words.items():
        yield OddMail(f"subject {kind}", head("text/plain", subject=word) + b"\r\nx", "x", subject=text)
    for codec in LEGACY.get(text, ()):
        raw = head("text/plain").replace(b"Subject: odd", b"Subject: " + text.encode(codec))
        yield OddMail(f"subject in {codec}, named nowhere", raw + b"\r\nx", "x", subject=text,
                      defect="EightBitHeaderDefect")  # fmt: skip
        body = head("text/plain; charset=x-nothing") + b"\r\n" + text.encode(codec)
        yield OddMail(f"text in {codec}, of no charset", body, text, defect="CharsetDefect")
        page = f"<html><head><style>{'p{}' * 900}</style></head><p>{text}".encode(codec)
        yield OddMail(f"page in {codec}, named nowhere", head("text/html") + b"\r\n" + page, text)
    halves = "=?utf-8?Q?=ED=A0=BD=ED=B8=80?="
    yield OddMail("letters in halves", head("text/plain", subject=f"{halves} {text}" if text.isascii() else halves)
                  + b"\r\nx", "x", subject=f"\U0001f600 {text}" if text.isascii() else "\U0001f600")  # fmt: skip


def structures(text: str) -> Iterator[OddMail]:
    """Parts whose header an empty line has cut, boundaries outside of ASCII, other ways to say the same."""
    plain = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    mixed = head("multipart/mixed; boundary=B") + b"\r\n"
    cut = mixed + b"--B\r\n\r\n" + plain + pdf_part("B") + b"--B--\r\n"
    yield OddMail("part whose header is cut", cut, text, files={"a.pdf": PDF}, defect="SplitHeaderDefect")
    inner = b"--B\r\n" + plain + pdf_part("B") + b"--B--\r\n"
    for edge in (b"B\xfc", "B\u00fc".encode()):
        raw = head("multipart/mixed; boundary=@") + b"\r\n" + inner
        raw = raw.replace(b"boundary=@", b"boundary=" + edge).replace(b"--B", b"--" + edge)
        yield OddMail(f"boundary {edge!r}", raw, text, files={"a.pdf": PDF})
    bare = HEAD.format(subject="odd").encode() + b"Content-Type multipart/mixed; boundary=B\r\n\r\n" + inner
    yield OddMail("type without its colon", bare, text, files={"a.pdf": PDF}, defect="BoundaryGuessedDefect")
    choice = head("multipart/alternative; boundary=B") + b"\r\n--B\r\n" + plain
    for other in ("text/x-amp-html", "text/enriched", "text/watch-html"):
        part = f"Content-Type: {other}\r\n\r\n<b>other</b>\r\n"
        yield OddMail(f"text or {other}", choice + f"--B\r\n{part}--B--\r\n".encode(), text)
        within = f"--B\r\nContent-Type: multipart/related; boundary=C\r\n\r\n--C\r\n{part}--C--\r\n--B--\r\n"
        yield OddMail(f"text or related {other}", choice + within.encode(), text)
        alone = head(f"{other}; charset=utf-8") + f"\r\n<bold>{text}</bold>".encode()
        yield OddMail(f"{other} alone", alone, text)
    lines = quopri.encodestring(f"{text} {'and more than one line ' * 6}end".encode()).replace(b"\n", b"\r")
    raw = head("text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable\r\n") + b"\r\n"
    yield OddMail("quoted-printable with CR alone", raw.replace(b"\r\n", b"\r") + lines,
                  f"{text} {'and more than one line ' * 6}end")  # fmt: skip
    page = f'<p title="a > b">{text}</p><div style="display: none">unseen <div>too</div></div><!-->'
    raw = head("text/html; charset=utf-8") + f"\r\n{page}".encode()
    yield OddMail("page with signs in its tags, and hidden text", raw, text)


def embedded(text: str) -> Iterator[OddMail]:
    """Files in the text that are cut, or have no plain name."""
    plain = head("text/plain; charset=utf-8") + f"\r\n{text}\r\n\r\n".encode()
    coded = base64.encodebytes(PDF)
    yield OddMail("base64 by uuencode -m", plain + b"begin-base64 644 a.pdf\n" + coded + b"====\n", text,
                  files={"a.pdf": PDF}, defect="EmbeddedFileDefect")  # fmt: skip
    code = b'begin 644 "a.pdf"\n' + b"".join(
        binascii.b2a_uu(PDF[at : at + 45], backtick=True) for at in range(0, len(PDF), 45)
    )
    yield OddMail("uuencode that is cut", plain + code, text, files={"a.pdf": PDF}, defect="EmbeddedFileDefect")


RECIPES: tuple[Callable[[str], Iterator[OddMail]], ...] = (file_names, subjects, structures, embedded)
