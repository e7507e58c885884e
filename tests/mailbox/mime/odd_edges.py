"""More forms of mail: what stands above a header and above the parts, doubled lines, names between odd signs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator

from tests.mailbox.mime.odd_mail import PDF, OddMail, head, pdf_part

_MIXED = head("multipart/mixed; boundary=B") + b"\r\n"
_MBOX = b"From ann@example.com Sat Mar  1 10:00:00 2025\r\n"


def _plain(text: str) -> bytes:
    return f"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


def above_the_header(text: str) -> Iterator[OddMail]:
    raw = head("text/plain; charset=utf-8") + b"\r\n" + text.encode()
    for name, junk in (
        ("a mark encoded twice", "ï»¿".encode()),
        ("a mark of UTF-16", b"\xff\xfe"),
        ("a quoted-printable mark", b"=EF=BB=BF"),
        ("two marks", b"\xef\xbb\xbf" * 2),
        ("a mark and an empty line", b"\xef\xbb\xbf\r\n"),
        ("a space without width", "\u200b".encode()),
        ("a mark behind an mbox line", _MBOX + b"\xef\xbb\xbf"),
        ("an empty line behind an mbox line", _MBOX + b"\r\n"),
        ("a mark and a field that not all mails have", b"\xef\xbb\xbfX-Original-To: bob@example.org\r\n"),
        ("an empty line and a field that not all mails have", b"\r\nX-Mailer: script\r\n"),
        ("a space and a field that not all mails have", b" DKIM-Signature: v=1\r\n"),
    ):
        yield OddMail(f"above the header: {name}", junk + raw, text, defect="JunkBeforeHeaderDefect")
    yield OddMail("an mbox line and a header", _MBOX + raw, text)


def doubled_lines(text: str) -> Iterator[OddMail]:
    """Each line end twice, as a gateway writes that takes CR LF for two."""
    whole = head("text/plain; charset=utf-8", "X-Folded: a\r\n b\r\n") + f"\r\n{text}\r\nlast".encode()
    for name, end in (("CR LF", b"\r\n"), ("LF", b"\n"), ("CR", b"\r")):
        yield OddMail(f"each line doubled: {name}", whole.replace(b"\r\n", end * 2), f"{text} last",
                      defect="LineEndDefect")  # fmt: skip
    parts = _MIXED + _plain(text) + pdf_part("B").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"--B--\r\n"
    yield OddMail("each line doubled, with a file", parts.replace(b"\r\n", b"\n\n"), text, files={"a.pdf": PDF},
                  defect="LineEndDefect")  # fmt: skip
    listed = f"To: bob\r\n\r\nSubject: what it says\r\n\r\n{text}"
    raw = head("text/plain; charset=utf-8") + f"\r\n{listed}".encode()
    yield OddMail("fields listed in a text", raw, listed)


def above_the_parts(text: str) -> Iterator[OddMail]:
    """A text where a script forgot the boundary line above it, or has nothing but a boundary line."""
    said = f"{text}\r\n".encode()
    yield OddMail("a text above a file", _MIXED + said + pdf_part("B") + b"--B--\r\n", text, files={"a.pdf": PDF},
                  defect="BoundaryGuessedDefect")  # fmt: skip
    yield OddMail("a text above an empty part", _MIXED + said + _plain("") + b"--B--\r\n", text,
                  defect="BoundaryGuessedDefect")  # fmt: skip
    yield OddMail("a text above a boundary line", _MIXED + said + b"--B\r\n", text, defect="BoundaryGuessedDefect")
    yield OddMail("a text behind the end", _MIXED + b"--B--\r\n" + said, text, defect="MultipartWithoutPartsDefect")
    inner = b"--B\r\nContent-Type: multipart/alternative; boundary=C\r\n\r\n" + said + b"--C\r\n\r\n--C--\r\n"
    yield OddMail("a text above the parts of an alternative", _MIXED + inner + pdf_part("B") + b"--B--\r\n", text,
                  files={"a.pdf": PDF}, defect="BoundaryGuessedDefect")  # fmt: skip
    customary = b"This is a multi-part message in MIME format.\r\n"
    yield OddMail("the customary words above a file", _MIXED + customary + pdf_part("B") + b"--B--\r\n", "",
                  files={"a.pdf": PDF})  # fmt: skip
    yield OddMail("words above a text", _MIXED + b"Words.\r\n" + _plain(text) + b"--B--\r\n", text)


def names(text: str) -> Iterator[OddMail]:
    for stated in ('attachment:filename="a.pdf"', "attachment; filename=a.pdf size=12",
                   "attachment; filename==a.pdf",
                   'attachment; filename=3D"a.pdf"', 'attachment; filename(c)="a.pdf"',
                   "attachment; filename=a.pdf (c)",
                   '"attachment; filename=a.pdf"', 'attachment; filename=a.pdf"',
                   "attachment; filename=&quot;a.pdf&quot;",
                   'attachment; filename="a.pdf; size=12',
                   'attachment; filename="a.pdf"\\r\\n', "attachment; filename*=UTF-8''\"a.pdf\"",
                   'attachment\r\nContent-Description: a.pdf', 'attachment; filename="a.pdf" size=12',
                   'attachment; modification-date="Wed, 12 Feb 1997 16:29:51 -0500" filename=a.pdf'):  # fmt: skip
        raw = _MIXED + _plain(text) + pdf_part("B", stated) + b"--B--\r\n"
        yield OddMail(f"name {stated}", raw, text, files={"a.pdf": PDF})
    described = "attachment\r\nContent-Description: the report, as asked for"
    yield OddMail("a description that is no name", _MIXED + _plain(text) + pdf_part("B", described) + b"--B--\r\n",
                  text, files={"attachment-1.pdf": PDF})  # fmt: skip
    for stated in ("filename=Plan (a.b) 2.pdf", 'filename="a.pdf (1)"'):
        name = stated.partition("=")[2].strip('"')
        raw = _MIXED + _plain(text) + pdf_part("B", f"attachment; {stated}") + b"--B--\r\n"
        yield OddMail(f"name with brackets: {stated}", raw, text, files={name: PDF})


def encodings(text: str) -> Iterator[OddMail]:
    page = base64.encodebytes(f"<p>{text}, and more.</p>".encode())
    b64 = head("text/html; charset=utf-8", "Content-Transfer-Encoding: base64\r\n") + b"\r\n" + page + b"\r\n"
    for footer in ('<hr><p align="left">Scanned, no virus found.</p>', "Scanned, no virus found.",
                   '<div>Scanned, no virus found.<br/></div>'):  # fmt: skip
        yield OddMail(f"behind the base64 of a page: {footer[:4]}", b64 + footer.encode() + b"\r\n",
                      f"{text}, and more. Scanned, no virus found.", defect="TransferEncodingDefect")  # fmt: skip
    fields = "--B\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    code = base64.encodebytes(PDF)
    raw = _MIXED + _plain(text) + f"{fields}data:application/pdf;base64,".encode() + code + b"--B--\r\n"
    yield OddMail("a data: URL in place of base64", raw, text, files={"a.pdf": PDF}, defect="TransferEncodingDefect")
    body = _plain(text) + pdf_part("B") + b"--B--\r\n"
    rows = b"".join(binascii.b2a_uu(body[at : at + 45]) for at in range(0, len(body), 45))
    more = "Content-Transfer-Encoding: x-uuencode\r\n"
    raw = head("multipart/mixed; boundary=B", more) + b"\r\nbegin 644 mail\n" + rows + b"`\nend\n"
    yield OddMail("multipart in uuencode", raw, text, files={"a.pdf": PDF}, defect="EncodedMultipartDefect")
    said = f"{text}, ä"
    quoted = binascii.b2a_qp(said.encode()) + b"\r\n"
    for stated in ("quote-printable", "quoted-pritable", "quoted-printeable"):
        raw = head("text/plain; charset=utf-8", f"Content-Transfer-Encoding: {stated}\r\n") + b"\r\n" + quoted
        yield OddMail(f"encoding {stated}", raw, said, defect="MimeFieldDefect")
    more = "Content-Transfer-Encoding: quoted-printable\r\n"
    for line, shown in (
        ("=-=-=-=", "=-=-=-="), ("+====+", "+====+"), ("if x==10 or a==be", "if x==10 or a==be"), ("==3D", "=="),
        ("*=*=*=*=*=*=", "*=*=*=*=*=*="), ("== 1 ==", "== 1 =="), ("a =3D=\r\n b", "a = b"), ("=====3D", "====="),
    ):  # fmt: skip
        raw = head("text/plain; charset=utf-8", more) + b"\r\n" + quoted + f"{line}\r\nend".encode()
        yield OddMail(f"equals signs: {line}", raw, f"{said} {shown} end")


RECIPES: tuple[Callable[[str], Iterator[OddMail]], ...] = (
    *(above_the_header, doubled_lines, above_the_parts, names, encodings),
)
