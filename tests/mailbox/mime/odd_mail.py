"""Messages that are damaged or unusual as senders damage them: one recipe a kind, and what each must be read as.

What is expected is computed from the recipe, never from the reader.
"""

from __future__ import annotations

import base64
import binascii
import quopri
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

TEXTS = (
    "Please approve invoice 4711.",
    "Grüße aus Köln, café",
    "Привет из Москвы",
    "障害のお知らせです",
    "회의 안내",
    "发票请查收",
)
PDF = b"%PDF-1.4 " + bytes(range(256))
HEAD = "From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"


@dataclass(frozen=True)
class OddMail:
    """A message, and what must come out: words of its text, in order, its files, a defect that must be named."""

    kind: str
    raw: bytes
    text: str
    subject: str = "odd"
    files: dict[str, bytes] = field(default_factory=dict)
    defect: str = ""

    @property
    def name(self) -> str:
        return self.kind


def head(content_type: str, more: str = "", subject: str = "odd") -> bytes:
    return f"{HEAD.format(subject=subject)}Content-Type: {content_type}\r\n{more}".encode()


def pdf_part(edge: str, disposition: str = 'attachment; filename="a.pdf"') -> bytes:
    fields = f"--{edge}\r\nContent-Type: application/pdf\r\nContent-Disposition: {disposition}\r\n"
    return fields.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(PDF)


def _body(edge: str, text: str) -> bytes:
    return (
        f"--{edge}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
        + pdf_part(edge)
        + f"--{edge}--\r\n".encode()
    )


def boundaries(text: str) -> Iterator[OddMail]:
    """Damaged boundaries: each still gives text and file."""
    stated = {
        "absent": ("multipart/mixed", "B", "BoundaryGuessedDefect"),
        "empty": ('multipart/mixed; boundary=""', "B", "BoundaryGuessedDefect"),
        "another": ("multipart/mixed; boundary=other", "=_B(1)", "BoundaryGuessedDefect"),
        "no semicolon": ('multipart/mixed boundary="B"', "B", "MimeFieldDefect"),
        "no semicolon, folded": ('multipart/mixed\r\n\tboundary="B"', "B", "MimeFieldDefect"),
        "comma": ("multipart/mixed, boundary=B", "B", "MimeFieldDefect"),
        "comment": ("multipart/mixed (x); boundary=B", "B", "MimeFieldDefect"),
        "folded within": ('multipart/mixed; boundary="a\r\n b"', "a b", ""),
        "unclosed quote": ('multipart/mixed; boundary="B', "B", ""),
        "single quotes": ("multipart/mixed; boundary='B'", "B", "BoundaryGuessedDefect"),
        "behind a colon": ("multipart/mixed; boundary: B", "B", "MimeFieldDefect"),
        "without a subtype": ("multipart; boundary=B", "B", "MimeFieldDefect"),
        "behind the field's own name": ("Content-Type: multipart/mixed; boundary=B", "B", "MimeFieldDefect"),
        "with a comment behind": ('multipart/mixed; boundary="B" (mailer)', "B", ""),
        "of a multipart by another name": ("x-multi-part/mixed; boundary=B", "B", "MimeFieldDefect"),
        "with its dashes": ('multipart/mixed; boundary="--B"', "B", "BoundaryGuessedDefect"),
        "of a plain text": ("text/plain; boundary=B", "B", "BoundaryGuessedDefect"),
        "twice": ("multipart/mixed; boundary=A; boundary=B", "B", "BoundaryGuessedDefect"),
    }
    for name, (content_type, edge, defect) in stated.items():
        raw = head(content_type) + b"\r\n" + _body(edge, text)
        yield OddMail(f"boundary {name}", raw, text, files={"a.pdf": PDF}, defect=defect)
    unclosed = _body("B", text).removesuffix(b"--B--\r\n")
    yield OddMail(
        "boundary unclosed", head("multipart/mixed; boundary=B") + b"\r\n" + unclosed, text, files={"a.pdf": PDF}
    )


def unstated(text: str) -> Iterator[OddMail]:
    """Multiparts that the header does not tell of."""
    bare = HEAD.format(subject="odd").encode()
    for name, raw in (
        ("no type", bare + b"\r\n" + _body("B", text)),
        ("no type, preamble", bare + b"\r\nThis is a multi-part message in MIME format.\r\n\r\n" + _body("B", text)),
        ("two types", bare + b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"
         + _body("B", text)),
    ):  # fmt: skip
        yield OddMail(f"multipart of {name}", raw, text, files={"a.pdf": PDF}, defect="BoundaryGuessedDefect")
    cut = bare + b"\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n" + _body("B", text)
    yield OddMail("header cut by an empty line", cut, text, files={"a.pdf": PDF}, defect="SplitHeaderDefect")
    glued = head("multipart/mixed; boundary=B") + b"\r\n" + _body("B", text).replace(b"\r\n--B\r\n", b"--B\r\n", 1)
    yield OddMail("boundary behind text", glued, text, files={"a.pdf": PDF}, defect="BoundaryGuessedDefect")


def encoded_multiparts(text: str) -> Iterator[OddMail]:
    inner = _body("B", "").replace(b"; charset=utf-8\r\n\r\n\r\n", f"; charset=3Dutf-8\r\n\r\n{text}\r\n".encode())
    quoted = head("multipart/mixed; boundary=B", "Content-Transfer-Encoding: quoted-printable\r\n") + b"\r\n"
    inner = inner.replace(b'filename="', b'filename=3D"').replace(b"==\n", b"=3D=3D\n")
    yield OddMail("multipart in quoted-printable, its lines plain", quoted + inner, text, files={"a.pdf": PDF},
                  defect="EncodedMultipartDefect")  # fmt: skip
    for name, encode in (("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)):
        content = encode(_body("=B", text).replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        raw = head('multipart/mixed; boundary="=B"', f"Content-Transfer-Encoding: {name}\r\n") + b"\r\n" + content
        yield OddMail(f"multipart in {name}", raw, text, files={"a.pdf": PDF}, defect="EncodedMultipartDefect")


def encoded_parts(text: str) -> Iterator[OddMail]:
    """A multipart that states the encoding of its parts, which state none."""
    for name, encode in (("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)):
        octets = encode(f"{text} 1=1, and more than a word.\n".encode()).replace(b"\n", b"\r\n")
        part = b"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + octets + b"\r\n"
        raw = head("multipart/mixed; boundary=B", f"Content-Transfer-Encoding: {name}\r\n") + b"\r\n" + part
        yield OddMail(f"parts in {name}", raw + pdf_part("B") + b"--B--\r\n", f"{text} 1=1, and more than a word.",
                      files={"a.pdf": PDF}, defect="EncodedMultipartDefect")  # fmt: skip


FOOTERS = (
    "_____________\nList mailing list\nList@example.com",
    "-- \nopsteam",
    "This mail was scanned for viruses.",
    "List\nUnsubscribe at https://lists.example.com/",
)


def behind_base64(text: str) -> Iterator[OddMail]:
    """Plain text behind base64, base64 that is none, and signs within."""
    b64 = head("text/plain; charset=utf-8", "Content-Transfer-Encoding: base64\r\n") + b"\r\n"
    for length in range(3):  # with and without padding
        said = f"{text}, and more.{'.' * length}"
        code = base64.encodebytes(said.encode()).replace(b"\n", b"\r\n")
        for number, footer in enumerate(FOOTERS):
            raw = b64 + code + b"\r\n" + footer.replace("\n", "\r\n").encode() + b"\r\n"
            yield OddMail(f"footer {number} behind base64 {length}", raw, f"{said}\n{footer}",
                          defect="TransferEncodingDefect")  # fmt: skip
        for name, odd in (("quoted", b"> " + code.replace(b"\n", b"\n> ")), ("drawn", code + b"----\r\n"),
                          ("with a sign", code[:9] + b"!" + code[9:])):  # fmt: skip
            yield OddMail(f"base64 {name} {length}", b64 + odd, said, defect="TransferEncodingDefect")
    plain = f"{text}: this is no base64 at all!"
    yield OddMail("plain text called base64", b64 + plain.encode(), plain, defect="TransferEncodingDefect")
    quoted = quopri.encodestring(plain.encode())
    yield OddMail("quoted-printable called base64", b64 + quoted, plain, defect="TransferEncodingDefect")


def kinds_of_html(text: str) -> Iterator[OddMail]:
    for stated in ("text/x-html", "text/htm", "text/html5", "application/xhtml+xml", "x-text/html", "text-html",
                   "html/text", "text.html", "application/html", "text/vnd.html"):  # fmt: skip
        raw = head(f"{stated}; charset=utf-8") + f"\r\n<html><body><p>{text}</p></body></html>".encode()
        yield OddMail(f"HTML called {stated}", raw, text)
    for stated in ("text", "text/", "plain", "/plain", "utf-8", "text/x-plain", "plain/text", "text/*"):
        yield OddMail(f"text called {stated!r}", head(f"{stated}; charset=utf-8") + b"\r\n" + text.encode(), text)


def wide(text: str) -> Iterator[OddMail]:
    """UTF-16 and UTF-32 with and without their marks and labels, and UTF-8 that bears their label or another."""
    for label, codec in (("utf-32", "utf-32"), ("us-ascii", "utf-32"), ("", "utf-16"), ("iso-8859-1", "utf-16"),
                         ("utf-8", "utf-8-sig"), ("utf-16", "utf-8"), ("unicode", "utf-8"), ("gb2312", "utf-8"),
                         ("iso-2022-jp", "utf-8"), ("windows-1251", "utf-8"), ("iso-8859-2", "utf-8")):  # fmt: skip
        charset = f"; charset={label}" if label else ""
        octets = base64.encodebytes(text.encode(codec))
        raw = head(f"text/plain{charset}", "Content-Transfer-Encoding: base64\r\n") + b"\r\n" + octets
        yield OddMail(f"{codec} called {label or 'nothing'}", raw, text)
    page = f'<meta charset="utf-16"><p>{text}</p>'.encode()
    yield OddMail("HTML in UTF-8 that calls itself UTF-16", head("text/html") + b"\r\n" + page, text)
    whole = head("text/plain; charset=utf-8").decode() + f"\r\n{text}"
    for codec in ("utf-16", "utf-16-le", "utf-32"):
        yield OddMail(f"all of it in {codec}", whole.encode(codec), text, defect="WideMessageDefect")


def nested(text: str) -> Iterator[OddMail]:
    inner = f"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--B--\r\n\r\n".encode()
    raw = head("multipart/mixed; boundary=B") + b"\r\n--B\r\nContent-Type: multipart/alternative; boundary=B\r\n\r\n"
    yield OddMail(
        "boundary of the parent", raw + inner + pdf_part("B") + b"--B--\r\n", text, files={"a.pdf": PDF},
        defect="BoundaryOfParentDefect",
    )  # fmt: skip
    yield OddMail(
        "multipart without parts", head("multipart/mixed; boundary=B") + f"\r\n{text}\r\n".encode(), text,
        defect="MultipartWithoutPartsDefect",
    )  # fmt: skip


def fields(text: str) -> Iterator[OddMail]:
    """MIME fields with quotes, comments, commas, no semicolons."""
    coded = base64.encodebytes(text.encode())
    for stated in ('"base64"', "base64 (of text)", "BASE64;", "Base-64", "b64"):
        raw = head("text/plain; charset=utf-8", f"Content-Transfer-Encoding: {stated}\r\n") + b"\r\n" + coded
        yield OddMail(f"encoding {stated}", raw, text, defect="MimeFieldDefect")
    for stated in ("text/plain charset=utf-8", "text/plain, charset=utf-8", 'text/plain (c); charset="utf-8"',
                   "text/plain; charset='utf-8'", "text/plain; charset=utf-8 (c)", "TEXT / PLAIN; charset=UTF-8",
                   "text/plain; charset=utf-8 format=fixed", "text\\plain; charset=utf-8",
                   "'text/plain'; charset=utf-8",
                   "text/plain.; charset=utf-8", "text/plain; charset: utf-8", "=?utf-8?Q?text/plain?=; charset=utf-8",
                   'text/plain; charset="utf-8'):  # fmt: skip
        yield OddMail(f"type {stated}", head(stated) + b"\r\n" + text.encode(), text)
    for stated in ('attachment filename="a.pdf"', 'filename="a.pdf"', "attachment, filename=a.pdf",
                   'ATTACHMENT ; FILENAME = "a.pdf"', "attachment; filename*=utf-8''a%2Epdf",
                   'attachment; filename="a.pdf', "attachment; filename='a.pdf'", 'attachment; filename: "a.pdf"',
                   'attachment; (x) filename=a.pdf', 'attachment; filename = (x) "a.pdf" (y)', 'attachment; name=a.pdf',
                   'attachment; filename*="=?utf-8?Q?a=2Epdf?="', "attachment; filename=<a.pdf>",
                   'attachment; filename="<a.pdf>"', "attachment; filename=`a.pdf`", 'attachment; filename=""a.pdf""',
                   "attachment; filename=\"'a.pdf'\"", 'attachment; filename=\\"a.pdf\\"', "attachment; file=a.pdf",
                   'attachment; "filename"="a.pdf"', "attachment; filename=utf-8''a%2Epdf",
                   'attachment; filename="a.pdf\\"', "attachment; filename=“a.pdf”"):  # fmt: skip
        body = f"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
        raw = head("multipart/mixed; boundary=B") + b"\r\n" + body + pdf_part("B", stated) + b"--B--\r\n"
        yield OddMail(f"disposition {stated}", raw, text, files={"a.pdf": PDF})


CHARSETS = {
    "Grüße aus Köln, café": {"x-mac-roman": "mac-roman", "cp-1252": "cp1252", "ms-ansi": "cp1252", "Cp850": "cp850",
                             "latin9": "iso8859-15", "windows-28591": "latin-1", "l1": "latin-1"},
    "Привет из Москвы": {"cp-1251": "cp1251", "win-1251": "cp1251", "x-cp1251": "cp1251", "koi": "koi8-r",
                         "ibm866": "cp866", "x-mac-cyrillic": "mac-cyrillic", "KOI8_R": "koi8-r"},
    "障害のお知らせです": {"x-sjis": "cp932", "MS932": "cp932", "SJIS-win": "cp932", "Windows-31J": "cp932",
                    "eucJP-win": "euc_jp", "x-euc-jp": "euc_jp", "CP51932": "euc_jp", "JIS": "iso2022_jp",
                    "CP50221": "iso2022_jp", "csISO2022JP": "iso2022_jp"},
    "회의 안내": {"ks_c_5601-1987": "cp949", "UHC": "cp949", "MS949": "cp949", "euc-kr": "euc_kr"},
    "发票请查收": {"x-gbk": "gbk", "CP936": "gbk", "gb_2312-80": "gb2312", "EUC-CN": "gb2312", "hz-gb-2312": "hz"},
}  # fmt: skip


def charsets(text: str) -> Iterator[OddMail]:
    for label, codec in CHARSETS.get(text, {}).items():
        raw = head(f"text/plain; charset={label}") + b"\r\n" + text.encode(codec)
        yield OddMail(f"charset {label}", raw, text)
        if codec not in ("iso2022_jp", "hz", "cp850", "mac-roman"):
            raw = head(f"text/plain; charset={label}").replace(b"Subject: odd", b"Subject: " + text.encode(codec))
            yield OddMail(f"raw subject in {label}", raw + b"\r\nx", "x", subject=text, defect="EightBitHeaderDefect")


def lines(text: str) -> Iterator[OddMail]:
    raw = head("text/plain; charset=utf-8") + b"\r\n" + text.encode() + b"\r\nlast"
    whole = f"{text} last"
    yield OddMail("CR CR LF", raw.replace(b"\n", b"\r\n"), whole, defect="LineEndDefect")
    yield OddMail("CR CR CR LF", raw.replace(b"\n", b"\r\r\n"), whole, defect="LineEndDefect")
    yield OddMail("a blank first", b" " + raw, whole, defect="JunkBeforeHeaderDefect")
    yield OddMail("a NUL first", b"\0" + raw, whole, defect="JunkBeforeHeaderDefect")
    yield OddMail("an mbox line first", b">From ann@example.com Sat Mar  1 10:00:00 2025\r\n" + raw, whole)
    yield OddMail("CR only", raw.replace(b"\r\n", b"\r"), whole)
    yield OddMail("byte order mark first", b"\xef\xbb\xbf" + raw, whole, defect="JunkBeforeHeaderDefect")
    yield OddMail("blank lines first", b"\r\n\r\n" + raw, whole, defect="JunkBeforeHeaderDefect")


def encodings(text: str) -> Iterator[OddMail]:
    octets = text.encode()
    blocks = b"".join(base64.b64encode(octets[at : at + 4]) + b"\r\n" for at in range(0, len(octets), 4))
    b64 = head("text/plain; charset=utf-8", "Content-Transfer-Encoding: base64\r\n") + b"\r\n"
    yield OddMail("padding in each line", b64 + blocks, text, defect="TransferEncodingDefect")
    yield OddMail("padding without lines", b64 + blocks.replace(b"\r\n", b""), text, defect="TransferEncodingDefect")
    safe = base64.urlsafe_b64encode(PDF).replace(b"=", b"")
    for name, code in (
        ("in one line", safe),
        ("in lines", b"\r\n".join(safe[at : at + 76] for at in range(0, len(safe), 76))),
    ):
        raw = head('application/pdf; name="a.pdf"', "Content-Transfer-Encoding: base64\r\n") + b"\r\n" + code
        yield OddMail(f"base64 of URLs {name}", raw, "", files={"a.pdf": PDF}, defect="TransferEncodingDefect")
    quoted = head("text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable\r\n") + b"\r\n"
    for line in ("==", "====", "========"):
        content = quopri.encodestring(octets) + b"\r\n" + line.encode() + b"\r\nend"
        yield OddMail(f"a line of {len(line)} equals signs", quoted + content, f"{text} {line} end")
    rows = [binascii.b2a_uu(PDF[at : at + 45]) for at in range(0, len(PDF), 45)]
    code = b"begin 644 a.pdf\r\n" + b"".join(rows).replace(b"\n", b"\r\n") + b"`\r\nend\r\n"
    raw = head("text/plain; charset=utf-8") + b"\r\n" + octets + b"\r\n\r\n" + code + b"behind"
    yield OddMail("uuencoded in the text", raw, f"{text} behind", files={"a.pdf": PDF}, defect="EmbeddedFileDefect")
    half = len(octets) // 2 // 3 * 3 + 1
    letters = base64.b64encode(octets).rstrip(b"=")
    words = [letters[: half + 1], letters[half + 1 :] + b"=" * (-len(letters) % 4)]
    subject = "\r\n ".join(f"=?utf-8?B?{word.decode()}?=" for word in words)
    for name, ours in (("unpadded", [f"=?utf-8?B?{word.rstrip(b'=').decode()}?=" for word in words]),
                       ("of two labels", [f"=?{label}?B?{word.decode()}?=" for label, word in
                                          zip(("utf-8", "UTF8"), words, strict=True)])):  # fmt: skip
        raw = head("text/plain", subject="\r\n ".join(ours)) + b"\r\nx"
        yield OddMail(f"encoded word cut within a group, {name}", raw, "x", subject=text)
    escaped = "".join(f"={octet:02X}" for octet in octets)
    asked = head("text/plain", subject=f"=?utf-8?Q?{escaped}??=")
    yield OddMail("a question mark in a word", asked + b"\r\nx", "x", subject=f"{text}?")
    yield OddMail("encoded word cut within a group", head("text/plain", subject=subject) + b"\r\nx", "x", subject=text)


def parts_in_order(text: str) -> Iterator[OddMail]:
    def part(kind: str, content: str) -> str:
        return f"--B\r\nContent-Type: {kind}; charset=utf-8\r\n\r\n{content}\r\n"

    picture = '--B\r\nContent-Type: image/png; name="p.png"\r\nContent-Disposition: inline\r\n\r\nPNG\r\n'
    plain, footer = part("text/plain", text), part("text/plain", "footer")
    rich, rich_footer = part("text/html", f"<p>{text}</p>"), part("text/html", "<p>footer</p>")
    both = f"{text} footer"
    for name, body, files in (
        ("text, text", plain + footer, {}),
        ("text, HTML", plain + rich_footer, {}),
        ("HTML, text", rich + footer, {}),
        ("HTML, HTML", rich + rich_footer, {}),
        ("text, picture, text", plain + picture + footer, {"p.png": b"PNG"}),
        ("text, picture, HTML", plain + picture + rich_footer, {"p.png": b"PNG"}),
    ):
        raw = head("multipart/mixed; boundary=B") + f"\r\n{body}--B--\r\n".encode()
        yield OddMail(f"in order: {name}", raw, both, files=files)


RECIPES: tuple[Callable[[str], Iterator[OddMail]], ...] = (
    *(boundaries, unstated, encoded_multiparts, encoded_parts, nested, fields, behind_base64),
    *(kinds_of_html, charsets, wide, lines, encodings, parts_in_order),
)
