"""Headers as scripts and gateways break them: lost folds, doubled line ends and fields, junk and empty lines within."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator

from tests.mailbox.mime.odd_mail import HEAD, PDF, OddMail, head, pdf_part

_BARE = HEAD.format(subject="odd").encode()
_MIXED = head("multipart/mixed; boundary=B") + b"\r\n"


def _parts(text: str) -> bytes:
    plain = f"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    return plain + pdf_part("B") + b"--B--\r\n"


def _file_part(fields: str) -> bytes:
    return f"--B\r\n{fields}".encode() + base64.encodebytes(PDF) + b"--B--\r\n"


def doubled_line_ends(text: str) -> Iterator[OddMail]:
    """PHP's mail(): its own lines end in LF, those that the script wrote in CR LF, and LF then becomes CR LF."""
    coded = base64.encodebytes(text.encode())
    by_script = b"Content-Type: text/plain; charset=utf-8\r\r\nContent-Transfer-Encoding: base64\r\r\n"
    for name, more in (("its last lines", b""), ("lines in its middle", b"X-Mailer: PHP\r\n")):
        yield OddMail(
            f"CR CR LF in a header, {name}", _BARE + by_script + more + b"\r\n" + coded, text, defect="LineEndDefect"
        )
    raw = _BARE + b"Content-Type: multipart/mixed; boundary=B\r\r\nX-Mailer: PHP\r\n\r\n" + _parts(text)
    yield OddMail("CR CR LF behind a boundary", raw, text, files={"a.pdf": PDF}, defect="LineEndDefect")
    raw = head("text/plain; charset=utf-8").removesuffix(b"\r\n") + b"\r\r\nNote: a body.\r\n" + text.encode()
    yield OddMail("CR CR LF above a body", raw, f"Note: a body. {text}")


def lost_folds(text: str) -> Iterator[OddMail]:
    """Parameters at the beginning of a line, as scripts write them."""
    for name, stated in (("semicolon", "text/plain;"), ("no semicolon", "text/plain")):
        raw = head(f"{stated}\r\ncharset=utf-8", "Content-Transfer-Encoding: base64\r\n") + b"\r\n"
        yield OddMail(f"charset in a line of its own, {name}", raw + base64.encodebytes(text.encode()), text,
                      defect="MimeFieldDefect")  # fmt: skip
        raw = head(f'{stated.replace("text/plain", "multipart/mixed")}\r\nboundary="B"') + b"\r\n" + _parts(text)
        yield OddMail(f"boundary in a line of its own, {name}", raw, text, files={"a.pdf": PDF},
                      defect="MimeFieldDefect")  # fmt: skip
    plain = f"--B\r\nContent-Type: text/plain;\r\ncharset=utf-8\r\n\r\n{text}\r\n".encode()
    part = _file_part(
        'Content-Type: application/pdf\r\nContent-Disposition: attachment;\r\nfilename="a.pdf"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    yield OddMail("parameters of parts in lines of their own", _MIXED + plain + part, text, files={"a.pdf": PDF},
                  defect="MimeFieldDefect")  # fmt: skip
    form = f"name=Ann\r\ncharset of it\r\n{text}"
    raw = head("text/plain; charset=utf-8") + form.encode()
    yield OddMail("a form's lines without the empty line above", raw, form, defect="MissingHeaderBodySeparatorDefect")


def headers_of_parts(text: str) -> Iterator[OddMail]:
    plain = f"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    fields = (
        "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    for name, odd, defect in (
        ("obsolete fields", fields.replace(": ", " : "), ""),
        ("a junk line", fields.replace("\r\n", "\r\nConten t-ID: <x>\r\n", 1), "JunkInHeaderDefect"),
        ("a junk line of letters", fields.replace("\r\n", "\r\nJünk\r\n", 1), "JunkInHeaderDefect"),
        ("an empty line within", fields.replace("\r\n", "\r\n\r\n", 1), "SplitHeaderDefect"),
    ):
        raw = _MIXED + plain + _file_part(odd)
        yield OddMail(f"a part's header with {name}", raw, text, files={"a.pdf": PDF}, defect=defect)
    coded = base64.encodebytes(f"{text}, and more than a word.".encode())
    cut = b"\r\nContent-Transfer-Encoding: base64\r\nX-Mailer: x\r\n\r\n" + coded
    raw = head("text/plain; charset=utf-8") + cut
    yield OddMail("a header with an empty line above its last fields", raw, f"{text}, and more than a word.",
                  defect="SplitHeaderDefect")  # fmt: skip
    about = f"Content-Transfer-Encoding: is what tells\r\n{text}"
    yield OddMail("a text about a field", head("text/plain; charset=utf-8") + b"\r\n" + about.encode(), about)
    inner = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}".encode()
    raw = _MIXED + plain + b"--B\r\nContent-Type: application/octet-stream; name=m.mht\r\n\r\n" + inner + b"\r\n--B--"
    yield OddMail("a file that begins like a header", raw, text, files={"m.mht": inner})


def doubled_fields(text: str) -> Iterator[OddMail]:
    """Two fields of a name of which the first is wrong."""
    first = b"Content-Type: text/html; charset=utf-8\r\nX-Mailer: x\r\nContent-Type: multipart/mixed; boundary=B\r\n"
    part = f"--B\r\nX-Part: 1\r\n\r\n{text}\r\n".encode()
    raw = _BARE + first + b"\r\n" + part + pdf_part("B") + b"--B--\r\n"
    yield OddMail("a type of text above one of a multipart", raw, text, files={"a.pdf": PDF},
                  defect="BoundaryGuessedDefect")  # fmt: skip
    said = f"{text}, and more than a word."
    for wrong, right, octets in (
        ("7bit", "base64", base64.encodebytes(said.encode())),
        ("8bit", "quoted-printable", binascii.b2a_qp(said.encode())),
    ):
        more = f"Content-Transfer-Encoding: {wrong}\r\nContent-Transfer-Encoding: {right}\r\n"
        if b"=" in octets or wrong == "7bit":
            raw = head("text/plain; charset=utf-8", more) + b"\r\n" + octets
            yield OddMail(f"{wrong} above {right}", raw, said, defect="MimeFieldDefect")
    more = "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64\r\n"
    yield OddMail("8bit above base64, and it is 8bit", head("text/plain; charset=utf-8", more) + b"\r\n"
                  + said.encode(), said)  # fmt: skip
    raw = _BARE + b"Con\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(said.encode())
    yield OddMail("junk above the transfer encoding", raw, said, defect="JunkInHeaderDefect")


def damaged_code(text: str) -> Iterator[OddMail]:
    """Uuencode with odd letters in a line: the other lines are as they were."""
    octets = bytes(range(150))
    lines = [binascii.b2a_uu(octets[at : at + 45]) for at in range(0, 150, 45)]
    odd = lines[1][:30] + b"(x)" + lines[1][30:]
    raw = head("text/plain; charset=utf-8") + b"\r\n" + text.encode() + b"\r\n\r\nbegin 100644 a.bin\r\n"
    damaged = octets[:45] + binascii.a2b_uu(odd[:61].replace(b"x", b" ")) + octets[90:]
    yield OddMail("uuencode with odd letters", raw + lines[0] + odd + b"".join(lines[2:]) + b"`\nend\n", text,
                  files={"a.bin": damaged}, defect="EmbeddedFileDefect")  # fmt: skip


def soft_breaks(text: str) -> Iterator[OddMail]:
    quoted = binascii.b2a_qp(f"{text}, and more than a line of it has room for, so that it is broken".encode())
    raw = head("text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable\r\n") + b"\r\n"
    for end in (b"\r\n", b"\r\r\n", b"\r", b" \r\n"):
        said = f"{text}, and more than a line of it has room for, so that it is broken"
        yield OddMail(f"soft line breaks of {end!r}", raw + quoted.replace(b"=\n", b"=" + end), said)


def files_called_texts(_text: str) -> Iterator[OddMail]:
    """A scanner's mail that is one file and calls it a text."""
    more = 'Content-Disposition: attachment; filename="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
    raw = head("text/plain", more) + b"\r\n" + base64.encodebytes(PDF)
    yield OddMail("a PDF called a text", raw, "", files={"a.pdf": PDF})


RECIPES: tuple[Callable[[str], Iterator[OddMail]], ...] = (
    *(doubled_line_ends, lost_folds, headers_of_parts, doubled_fields, damaged_code, soft_breaks, files_called_texts),
)
