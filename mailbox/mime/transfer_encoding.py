"""Decodes transfer encodings (RFC 2045 section 6), also of hostile or damaged content. Pure."""

from __future__ import annotations

import binascii
import re

from mailbox.mime import base64_content, charsets

_PLAIN = ("7bit", "8bit", "binary", "base64", "quoted-printable", "")
ENCODINGS = ("base64", "quoted-printable")
_NAMES = (*ENCODINGS, "x-uuencode")
_NAMED = re.compile(r"(base.?64|\bb(?:64)?\b)|(quoted?.{0,3}pri|\bqp?\b)|(uue|x-uue?\b|\buu\b)")
_COMMENT = re.compile(r"\([^()]*+\)")
# Behind another "=", an escape is one only for an octet that encoders escape: "x==10" and "a==be" are text.
_NEEDED = rb"(?:[89A-F][0-9A-F]|3D|0[AD]|(?:20|09)(?=[ \t]*+\r?\n))"
_DRAWN = re.compile(rb"={2,}+(?!" + _NEEDED + rb")|=+(?==" + _NEEDED + rb")")
# A line drawn of signs, "=" among them, which ends in one that is no soft line break: no encoder leaves the others.
_DRAWN_LINE = re.compile(rb"^(?=[-=*+_#~.|:<> ]{3,200}+\r?$)[^\r\n=]*+=[^=\r\n][^\r\n]*=(?=\r?$)", re.M)
_PADDED_BREAK = re.compile(rb"=[ \t]++(?=\r?\n)")
_BREAK_BY_CR = re.compile(rb"=\r(?:\r++\n|(?!\n))")  # at "=" CR, a2b_qp would drop all bytes up to the next LF
_ESCAPE = re.compile(rb"=(?:[0-9A-Fa-f]{2}|[ \t]*+(?:\r?\n|\Z))")
_HEX_ESCAPE = re.compile(rb"=[0-9A-Fa-f]{2}")
_NO_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*+(?:\r?\n|\Z))")
_MOST_ODD_LETTERS = 4
_MAX_UU_LINES = 2_000_000  # 90 MB; each line costs time, also an empty one


def encoding_of(field: str) -> str:
    """The encoding that a Content-Transfer-Encoding field names, lower case, without quotes, comments and variants of
    spelling such as "base-64"."""
    plain = field.strip().lower()
    if plain in _PLAIN:
        return plain
    plain = charsets.decode_words(field).strip().lower()
    found = _NAMED.search(_COMMENT.sub("", plain))
    if found is None:
        return plain.partition(";")[0].strip()
    return next(name for name, group in zip(_NAMES, found.groups(), strict=True) if group)


def is_plain(field: str) -> bool:
    """Whether the field is exactly an encoding's name of RFC 2045 section 6.1."""
    return field.strip().lower() in _PLAIN


def undone(encoding: str, encoded: memoryview) -> tuple[bytes, bool]:
    """Decode content by its transfer encoding (lower case); also returns whether that was valid.

    Content in an unknown encoding is returned unchanged.
    """
    if encoding == "base64":
        octets, is_sound = base64_content.decode(encoded)
        if not is_sound and _is_other_than_stated(encoded):
            octets = binascii.a2b_qp(encoded)
        return octets, is_sound
    if encoding == "quoted-printable":
        return _decode_quoted_printable(encoded)
    if encoding == "x-uuencode":
        return _uudecoded(bytes(encoded))
    return bytes(encoded), True


def footer_behind(encoding: str, encoded: memoryview) -> bytes:
    """The plain-text footer that a mailing list or scanner appended behind encoded content, or b""."""
    if encoding != "base64" or _is_other_than_stated(encoded):
        return b""
    return base64_content.footer_of(encoded)


def _is_other_than_stated(encoded: memoryview) -> bool:
    """Whether content that is labelled base64 is in fact quoted-printable."""
    return _HEX_ESCAPE.search(encoded) is not None and is_quoted_printable(bytes(encoded))


def is_quoted_printable(octets: bytes) -> bool:
    """Whether the bytes contain escapes of RFC 2045 section 6.7, and every "=" begins one."""
    return _ESCAPE.search(octets) is not None and _NO_ESCAPE.search(octets) is None


def inherited(encoding: str, octets: bytes) -> str:
    """The multipart's `encoding`, if `octets`, the content of a part that states none, look like it; else "".

    RFC 2045 section 6.4 forbids such an encoding on a multipart, but some senders mean it for all parts.
    """
    is_so = {"base64": base64_content.is_base64, "quoted-printable": is_quoted_printable}.get(encoding)
    return encoding if is_so and is_so(octets) else ""


def _decode_quoted_printable(encoded: memoryview) -> tuple[bytes, bool]:
    """Decode by RFC 2045 section 6.7. "=" signs that begin no escape are kept, as in a line drawn of them."""
    given = bytes(encoded)
    if given.count(b"=\r") != given.count(b"=\r\n"):
        given = _BREAK_BY_CR.sub(b"=\n", given)
    given = _DRAWN_LINE.sub(lambda line: line[0].replace(b"=", b"=3D"), given)
    if b"==" not in given and b"= " not in given and b"=\t" not in given:
        return binascii.a2b_qp(given), True
    escaped = _DRAWN.sub(lambda run: b"=3D" * len(run[0]), _PADDED_BREAK.sub(b"=", given))
    return binascii.a2b_qp(escaped), escaped == given


def _uudecoded(encoded: bytes) -> tuple[bytes, bool]:
    decoded: list[bytes] = []
    inside = sound = False
    is_whole = True
    position = 0
    for _ in range(_MAX_UU_LINES):
        if position >= len(encoded):
            break
        end = encoded.find(b"\n", position) + 1 or len(encoded)
        line = encoded[position:end].rstrip(b"\r\n")
        position = end
        if not inside:
            inside = line.startswith(b"begin ")
        elif line.strip() in (b"end", b"`", b""):
            sound = True
            if line.strip() == b"end":
                break
        else:
            octets = _uu_line(line)
            if octets is None:
                is_whole = False
                octets = _damaged_uu_line(line)
            if octets is None:
                return b"".join(decoded) or encoded, False
            decoded.append(octets)
    return (b"".join(decoded), sound and is_whole) if inside else (encoded, False)


def _damaged_uu_line(line: bytes) -> bytes | None:
    """The bytes of a line with a few letters too many, too few or none of code, so that it spoils no other line; None
    for a line of another length."""
    stated = (line[0] - 32) & 63
    letters = bytes(letter if 32 <= letter <= 96 else 32 for letter in line[1:])
    wanted = (stated + 2) // 3 * 4
    if not stated or abs(len(letters) - wanted) > _MOST_ODD_LETTERS:
        return None
    return binascii.a2b_uu(line[:1] + letters[:wanted].ljust(wanted))


def _uu_line(line: bytes) -> bytes | None:
    # Some encoders pad a line beyond its stated length: https://bugs.python.org/issue1467619
    for candidate in (line, line[: (((line[0] - 32) & 63) * 4 + 5) // 3]):
        try:
            return binascii.a2b_uu(candidate)
        except binascii.Error:
            continue
    return None
