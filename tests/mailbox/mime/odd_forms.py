"""More forms of mail that programs in the field write: recipes beside those of odd_mail and odd_names."""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

from tests.mailbox.mime.odd_mail import HEAD, PDF, OddMail, head, pdf_part
from tests.mailbox.mime.odd_names import LEGACY

_BARE = HEAD.format(subject="odd").encode()
MIXED = head("multipart/mixed; boundary=B") + b"\r\n"


def _text_part(text: str, edge: str = "B", more: str = "") -> bytes:
    return f"--{edge}\r\nContent-Type: text/plain; charset=utf-8{more}\r\n\r\n{text}\r\n".encode()


def charset_labels(text: str) -> Iterator[OddMail]:
    """Labels with what iconv, Java and people put around them."""
    for codec in LEGACY.get(text, ()):
        label = {"cp1252": "iso-8859-1", "cp932": "shift_jis", "cp949": "ks_c_5601-1987", "gb18030": "gb2312"}.get(
            codec, codec
        )
        for stated in (f'"{label}//TRANSLIT"', f'"{label.replace("-", " ", 1)}"', f'"{label.upper()};"', f"'{label}'",
                       f'"charset={label}"', f"{label}\x0b", f'"<{label}>"', f"={label}"):  # fmt: skip
            raw = head(f"text/plain; charset={stated}") + b"\r\n" + text.encode(codec)
            yield OddMail(f"charset {stated!r} in {codec}", raw, text)
    for stated in ('"utf 8"', "utf-8//IGNORE", "utf8-unix", "UTF-8-BOM", '"Unicode (UTF-8)"', "utf_8_sig", "x-utf-8",
                   "utf8mb4_general_ci", '"\\"utf-8\\""', "utf-8\r\n x"):  # fmt: skip
        raw = head(f"text/plain; charset={stated}") + b"\r\n" + text.encode()
        yield OddMail(f"charset {stated!r}", raw, text)
    for codec, label in (("mac_croatian", "x-mac-croatian"), ("mac_roman", "macintosh"), ("cp1250", "windows 1250"),
                         ("cp1250", "CP-1250"), ("iso8859_2", "ISO Latin 2")):  # fmt: skip
        said = f"{'Žlutý' if codec != 'mac_roman' else 'Größe'} kôň"
        if codec != "mac_croatian":
            raw = head(f'text/plain; charset="{label}"') + b"\r\n" + said.encode(codec, "replace")
            said = said.encode(codec, "replace").decode(codec)
            yield OddMail(f"charset {label}", raw, said)


def encoded_words(text: str) -> Iterator[OddMail]:
    """RFC 2047 as programs break it."""
    octets = text.encode()
    escaped = "".join(f"={octet:02x}" for octet in octets)
    word = base64.b64encode(octets).decode()
    bare = word.rstrip("=")
    one = "=?utf-8?Q?" + "?= =?utf-8?Q?".join(f"={octet:02X}" for octet in octets) + "?="
    subjects = {
        "lower-case escapes": f"=?UTF-8?q?{escaped}?=",
        "without padding": f"=?utf-8?b?{bare}?=",
        "too much padding": f"=?utf-8?B?{bare}====?=",
        "a letter a word": one,
        "blanks in base64": f"=?utf-8?B?{word[:4]} {word[4:]}?=",
        "folded in base64": f"=?utf-8?B?{word[:4]}\r\n\t{word[4:]}?=",
        "blanks around the charset": f"=? utf-8 ?B? {word} ?=",
        "no blank between words": f"=?utf-8?B?{word}?==?utf-8?Q??=",
        "both encodings": f"=?utf-8?Q?{escaped[: 3 * (len(octets) // 2)]}?= "
                          f"=?utf-8?B?{base64.b64encode(octets[len(octets) // 2 :]).decode()}?=",
        "in quotes": f'"=?utf-8?B?{word}?="',
        "of a charset that is none": f"=?x-unknown?B?{word}?=",
        "of the charset us-ascii": f"=?us-ascii?Q?{escaped}?=",
        "with a language": f"=?utf-8*de-DE?B?{word}?=",
        "of an empty word before": f"=?utf-8?Q??= =?utf-8?B?{word}?=",
        "in a label with iconv's end": f"=?utf-8//TRANSLIT?B?{word}?=",
    }  # fmt: skip
    for kind, subject in subjects.items():
        said = f'"{text}"' if kind == "in quotes" else text
        yield OddMail(f"subject {kind}", head("text/plain", subject=subject) + b"\r\nx", "x", subject=said)
    if text == "障害のお知らせです":
        jis = text.encode("iso2022_jp")
        halves = (jis[:9], jis[9:])
        subject = " ".join(f"=?iso-2022-jp?B?{base64.b64encode(half).decode()}?=" for half in halves)
        yield OddMail("subject cut within ISO-2022-JP", head("text/plain", subject=subject) + b"\r\nx", "x",
                      subject=text)  # fmt: skip
    mixed = head("text/plain", subject="SUBJECT").replace(b"SUBJECT", f"{text} =?utf-8?B?{word}?= {text}".encode())
    yield OddMail("subject of words among raw letters", mixed + b"\r\nx", "x", subject=f"{text} {text} {text}")


def boundaries(text: str) -> Iterator[OddMail]:
    """Boundary lines as programs break them."""
    files = {"a.pdf": PDF}
    body = _text_part(text) + pdf_part("B") + b"--B--\r\n"
    first = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    for name, content, defect in (
        ("blanks behind each line", body.replace(b"--B\r\n", b"--B \t\r\n").replace(b"--B--", b"--B-- "), ""),
        ("no first line", first + pdf_part("B") + b"--B--\r\n", "BoundaryGuessedDefect"),
        ("other case", body.replace(b"--B", b"--b"), "BoundaryGuessedDefect"),
        ("text behind the end", body + b"\r\n--B-\r\n", ""),
        ("bare line feeds", body.replace(b"\r\n", b"\n"), ""),
        ("bare carriage returns", body.replace(b"\r\n", b"\r").replace(b"\n", b"\r"), ""),
        ("two line ends before each", body.replace(b"\r\n--B", b"\r\n\r\n\r\n--B"), ""),
        ("the first line twice", b"--B\r\n" + body, ""),
        ("the end twice", body + b"--B--\r\n", ""),
        ("dashes more than one by one", body.replace(b"--B\r\n", b"----B\r\n").replace(b"--B--", b"----B--"),
         "BoundaryGuessedDefect"),
    ):  # fmt: skip
        yield OddMail(f"boundary: {name}", MIXED + content, text, files=files, defect=defect)
    for stated, edge in (("b*=utf-8''%42", ""), ("boundary*=utf-8''B", "B"), ("boundary*0=A; boundary*1=B", "AB"),
                         ('boundary="=_B?:/\'(),"', "=_B?:/'(),"), ("BOUNDARY=B", "B"), ("boundary = B", "B"),
                         ('boundary="B   "', "B"), ("boundary=" + "B" * 200, "B" * 200)):  # fmt: skip
        content = body.replace(b"--B", f"--{edge or 'B'}".encode())
        yield OddMail(f"boundary stated {stated[:30]}", head(f"multipart/mixed; {stated}") + b"\r\n" + content, text,
                      files=files)  # fmt: skip
    inner = f"--B\r\nContent-Type: multipart/alternative; boundary=BB\r\n\r\n--BB\r\n{first.decode()}".encode()
    yield OddMail("boundary that begins with the parent's, unclosed", MIXED + inner + pdf_part("B") + b"--B--\r\n",
                  text, files=files)  # fmt: skip


def encodings(text: str) -> Iterator[OddMail]:
    """Base64 and quoted-printable as gateways damage them."""
    words = f"{text} and a line that is long enough to be folded by every encoder there is, once or twice"
    quoted = quopri.encodestring(words.encode()).replace(b"\n", b"\r\n")
    qp = head("text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable\r\n") + b"\r\n"
    for name, content in (
        ("lower case", re.sub(rb"=[0-9A-F]{2}", lambda escape: escape[0].lower(), quoted)),
        ("blanks behind soft breaks", quoted.replace(b"=\r\n", b"=  \r\n")),
        ("a sign at the end", quoted + b"="),
        ("line ends as escapes", b"".join(b"=%02X" % each for each in words.encode()) + b"=0D=0A=\r\nend"),
        ("raw letters beside escapes", quoted.replace(b"=C3=BC", "ü".encode())),
    ):
        yield OddMail(f"quoted-printable: {name}", qp + content, f"{words} end" if content.endswith(b"end") else words)
    code = base64.b64encode(words.encode())
    b64 = head("text/plain; charset=utf-8", "Content-Transfer-Encoding: base64\r\n") + b"\r\n"
    for name, content in (
        ("in one line", code),
        ("a letter a line", b"\r\n".join(code[at : at + 1] for at in range(len(code)))),
        ("blanks", b" ".join(code[at : at + 4] for at in range(0, len(code), 4))),
        ("no padding", code.rstrip(b"=")),
        ("NULs between", code[:8] + b"\0\0" + code[8:]),
        ("too much padding", code + b"===="),
        ("empty lines", code[:20] + b"\r\n\r\n" + code[20:40] + b"\r\n\r\n" + code[40:]),
        ("signs that tell of cutting", code + b"\r\n=\r\n"),
    ):
        yield OddMail(f"base64: {name}", b64 + content + b"\r\n", words)
    for stated in ("uuencode", "x-uue", "X-UUENCODE"):
        rows = b"".join(binascii.b2a_uu(PDF[at : at + 45]) for at in range(0, len(PDF), 45))
        part = (
            b'--B\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: '
            + stated.encode() + b"\r\n\r\nbegin 644 a.pdf\n" + rows + b"`\nend\n"
        )  # fmt: skip
        yield OddMail(f"a part in {stated}", MIXED + _text_part(text) + part + b"--B--\r\n", text, files={"a.pdf": PDF})


def parameters(text: str) -> Iterator[OddMail]:
    """RFC 2231 as programs break it."""
    name = f"{text.replace(' ', '-')}.pdf"
    coded = quote(name)
    cut = len(coded) - 4
    stated = {
        "between quotes": f"filename*=\"utf-8''{coded}\"",
        "in lower-case escapes": f"filename*=UTF-8''{coded.lower() if name.islower() else coded}",
        "of no charset": f"filename*=''{coded}",
        "with a language": f"filename*=utf-8'de'{coded}",
        "pieces in another order": f"filename*1*={coded[cut:]}; filename*0*=utf-8''{coded[:cut]}",
        "pieces from one": f"filename*1*=utf-8''{coded[:cut]}; filename*2*={coded[cut:]}",
        "pieces with noughts": f"filename*00*=utf-8''{coded[:cut]}; filename*01*={coded[cut:]}",
        "the last piece plain": f"filename*0*=utf-8''{coded[:cut]}; filename*1=\"{coded[cut:]}\"",
        "beside a plain one": f"filename=\"x.pdf\"; filename*=utf-8''{coded}",
        "of upper-case name": f"FILENAME*=utf-8''{coded}",
        "blanks around": f"filename* = utf-8''{coded}",
        "no semicolon before": f"attachment filename*=utf-8''{coded}",
        "charset alone": f"filename*=utf-8'{coded}",
    }
    for kind, parameter in stated.items():
        disposition = parameter if parameter.startswith("attachment") else f"attachment; {parameter}"
        raw = MIXED + _text_part(text) + pdf_part("B", disposition) + b"--B--\r\n"
        yield OddMail(f"name {kind}", raw, text, files={name: PDF})


def containers(text: str) -> Iterator[OddMail]:
    """Messages within messages, encoded as RFC 2046 section 5.2.1 forbids, and files within texts."""
    inner = f"Subject: inner\r\nFrom: bob@example.org\r\n\r\n{text}".encode()
    for encoding, content in (("base64", base64.encodebytes(inner)), ("quoted-printable", quopri.encodestring(inner))):
        part = (
            f"--B\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + content
        )
        raw = MIXED + _text_part(text) + part + b"\r\n--B--\r\n"
        yield OddMail(f"a mail in {encoding}", raw, text, files={"inner.eml": quopri.decodestring(content)
                      if encoding == "quoted-printable" else inner})  # fmt: skip
    escaped = b"".join(
        b"=" + bytes(((each + 106) % 256,)) if (each + 42) % 256 in (0, 10, 13, 61) else bytes(((each + 42) % 256,))
        for each in PDF
    )
    yenc = b"=ybegin line=1000 size=%d name=a.pdf\r\n%s\r\n=yend size=%d crc32=%08x\r\n" % (
        len(PDF), escaped, len(PDF), binascii.crc32(PDF),
    )  # fmt: skip
    plain = head("text/plain; charset=utf-8") + f"\r\n{text}\r\n\r\n".encode()
    yield OddMail("yEnc in the text", plain + yenc + b"behind\r\n", f"{text} behind", files={"a.pdf": PDF},
                  defect="EmbeddedFileDefect")  # fmt: skip
    rows = b"".join(binascii.b2a_uu(PDF[at : at + 45]) for at in range(0, len(PDF), 45))
    two = b"begin 644 a.pdf\n%s`\nend\n\nbegin 600 b.pdf\n%s \nend\n" % (rows, rows)
    yield OddMail("two uuencoded files", plain + two, text, files={"a.pdf": PDF, "b.pdf": PDF},
                  defect="EmbeddedFileDefect")  # fmt: skip
    flowed = head("text/plain; charset=utf-8; Format=Flowed; DelSp=Yes")
    yield OddMail("flowed with DelSp", flowed + f"\r\n{text} \r\n{text}\r\n".encode(), f"{text}{text}")


def structures(text: str) -> Iterator[OddMail]:
    """Alternatives in any order, related groups without what should be first, other programs' parts."""
    plain = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    page = f"Content-Type: text/html; charset=utf-8\r\n\r\n<p>{text}</p>\r\n"
    amp = f"Content-Type: text/x-amp-html; charset=utf-8\r\n\r\n<b>{text}</b>\r\n"
    picture = "Content-Type: image/png\r\nContent-ID: <p@x>\r\n\r\nPNG\r\n"

    def multi(subtype: str, *parts: str, edge: str = "B", more: str = "") -> str:
        body = "".join(f"--{edge}\r\n{part}" for part in parts)
        return f"Content-Type: multipart/{subtype}; boundary={edge}{more}\r\n\r\n{body}--{edge}--\r\n"

    related = multi("related", picture, page, edge="R", more="; start=x")
    for name, whole, files in (
        ("alternative: page, text", multi("alternative", page, plain), {}),
        ("alternative: text alone", multi("alternative", plain), {}),
        ("alternative: text, related", multi("alternative", plain, related), {"attachment-1.png": b"PNG"}),
        ("alternative: AMP alone", multi("alternative", amp), {}),
        ("alternative: AMP, text, page", multi("alternative", amp, plain, page), {}),
        ("related: picture, text", multi("related", picture, plain), {"attachment-1.png": b"PNG"}),
        ("related: start named", multi("related", picture, page.replace("\r\n\r\n", "\r\nContent-ID: <r@x>\r\n\r\n", 1),
         more='; start="<r@x>"'), {"attachment-1.png": b"PNG"}),
        ("related: start behind another page",
         multi("related", page.replace(text, "frame"), page.replace("\r\n\r\n", "\r\nContent-ID: <r@x>\r\n\r\n", 1),
               more='; start="<r@x>"'), {"attachment-1.html": b"<p>frame</p>"}),
        ("mixed: nothing but an alternative", multi("mixed", multi("alternative", plain, page, edge="A")), {}),
        ("mixed: an empty multipart, text", multi("mixed", multi("mixed", edge="E"), plain), {}),
        ("signed: text, signature", multi("signed", plain, "Content-Type: application/pgp-signature\r\n\r\nx\r\n",
         more="; micalg=pgp-sha256; protocol=application/pgp-signature"), {"signature.asc": b"x"}),
        ("parallel", multi("parallel", plain, picture), {"attachment-1.png": b"PNG"}),
        ("a subtype that nobody knows", multi("x-other", plain), {}),
    ):  # fmt: skip
        yield OddMail(f"structure {name}", _BARE + whole.encode(), text, files=files)
    encrypted = multi(
        "encrypted",
        "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
        'Content-Type: application/octet-stream; name="encrypted.asc"\r\n\r\n-----BEGIN PGP\r\n',
    )
    yield OddMail("encrypted by PGP/MIME", _BARE + encrypted.encode(), "",
                  files={"attachment-1.asc": b"Version: 1", "encrypted.asc": b"-----BEGIN PGP"})  # fmt: skip


RECIPES: tuple[Callable[[str], Iterator[OddMail]], ...] = (
    *(charset_labels, encoded_words, boundaries, encodings, parameters, containers, structures),
)
