"""Decodes base64 (RFC 2045 section 6.8), also where it is damaged. Pure, linear in time for any bytes.

Real mails have padding inside, no padding, the URL-safe alphabet (RFC 4648 section 5), quote marks before each line,
invalid characters, a plain-text footer behind the code (mailing lists and virus scanners append one), or content that
is not base64 at all.
"""

from __future__ import annotations

import binascii
import re

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_JUNK = bytes(set(range(256)) - set(_ALPHABET))
_ENDS = re.compile(rb"[=\s\0]*+\Z")
_CODE_LINES = re.compile(rb"(?:[ \t]*+[A-Za-z0-9+/=]*+[ \t\0]*+(?:\r\n|\r|\n|\Z)|(?!))*+")
_LONG_CODE_LINE = re.compile(rb"^[A-Za-z0-9+/]{40,}+={0,2}[ \t]*+\r?$", re.M)
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)[ \t]*+(?>\r\n|\r|\n)")
_NOT_OF_URLS = re.compile(rb"[^A-Za-z0-9_\r\n=-]")
_OF_URLS = bytes.maketrans(b"-_", b"+/")
_DRAWN_LINE = re.compile(rb"^[-_=]{2,}+[ \t]*+\r?$", re.M)
_DATA_URL = re.compile(rb"\s*+data:[^,\s]{0,200};base64,", re.I)  # RFC 2397, as scripts take it from a web page
_BLOCK = re.compile(rb"[^=]++")
_MOST_BLOCKS = 1_000_000  # each costs time; a line of 76 characters has at most one
_LOOKED_AT = 2_000  # bytes
_WORD = re.compile(rb"[^\W\d_]{2}")
_LEAST_CODE = 16  # characters from which a run without padding counts as base64 and not as a word
_MOST_JUNK = 1 / 12  # share of invalid characters up to which content counts as base64; sentences have more spaces


def decode(octets: bytes | memoryview) -> tuple[bytes, bool]:
    """The decoded bytes, and whether the base64 was valid. Content that is not base64 is returned unchanged."""
    given = bytes(octets)
    if given.lstrip()[:5].lower() == b"data:" and (scheme := _DATA_URL.match(given)):
        return decode(given[scheme.end() :])[0], False
    padding = given.find(b"=")
    if padding < 0 or _ENDS.match(given, padding):
        try:
            decoded = binascii.a2b_base64(given)
        except binascii.Error:
            pass
        else:
            # a2b_base64 ignores invalid characters, so the length is checked. Counting the characters takes as long as
            # decoding, so the length is first computed on the assumption of equal lines.
            if _is_all_of_even_lines(decoded, given) or _is_all(decoded, given):
                return decoded, True
    end = _end_of_code(given)
    if end is None:
        return given, False
    return decode_damaged(given if end == len(given) else given[:end]), False


def footer_of(octets: bytes | memoryview) -> bytes:
    """The plain-text footer behind base64, or b""."""
    given = bytes(octets)
    end = _end_of_code(given)
    footer = b"" if end is None else given[end:].strip()
    return footer if _WORD.search(footer) else b""


def is_base64(octets: bytes) -> bool:
    """Whether all of it is base64, and long enough not to be a word."""
    letters = _letters_in(octets)
    if letters < _LEAST_CODE or (letters + octets.count(b"=")) % 4:
        return False
    return octets.translate(None, delete=_ALPHABET + b"=\r\n") == b""


def _is_all_of_even_lines(decoded: bytes, given: bytes) -> bool:
    """Whether `decoded` has the length that `given` implies, if all lines are as long as the first."""
    code = given.rstrip()
    width = code.find(b"\n") + 1
    ends = (len(code) // width) * (2 if code[width - 2 : width - 1] == b"\r" else 1) if width else 0
    padding = len(code) - len(code.rstrip(b"="))
    letters = len(code) - ends
    return letters % 4 == 0 and len(decoded) == letters // 4 * 3 - padding


def _is_all(decoded: bytes, given: bytes) -> bool:
    letters = _letters_in(given)
    return len(decoded) == letters * 3 // 4 and (letters + given.count(b"=")) % 4 == 0


def _letters_in(given: bytes) -> int:
    """The number of base64 characters, if there are no others than white space, NUL and padding besides."""
    return len(given) - sum(map(given.count, (b"\n", b"\r", b"=", b" ", b"\t", b"\0")))


def _end_of_code(given: bytes) -> int | None:
    """The position at which the base64 ends and a footer begins; the length without a footer; None if not base64."""
    if (b"-" in given or b"_" in given) and not _NOT_OF_URLS.search(given.strip()) and not _DRAWN_LINE.search(given):
        return len(given)
    lines = _CODE_LINES.match(given)
    end = lines.end() if lines else 0
    if end == len(given):
        return end
    code = given[:end].rstrip()
    has_code = code.endswith(b"=") or _letters_in(code) >= _LEAST_CODE
    if has_code and _LONG_CODE_LINE.search(given, end) is None and _is_mostly_junk(given[end : end + _LOOKED_AT]):
        return _without_words(given, end)
    if has_code or not _is_mostly_junk(given):
        return len(given)  # base64 with invalid characters inside
    return None


def _without_words(given: bytes, end: int) -> int:
    """The last empty line shortly before `end`, else `end`: the first line of a footer may be one word, which looks
    like base64."""
    blanks = list(_BLANK_LINE.finditer(given, max(0, end - _LOOKED_AT), end))
    blank = blanks[-1] if blanks else None
    if blank is None or not given[: blank.start()].strip() or _LONG_CODE_LINE.search(given, blank.end(), end):
        return end
    return blank.start()


def _is_mostly_junk(given: bytes) -> bool:
    lines = given.lstrip()[:_LOOKED_AT].splitlines()
    sample = b"\n".join(line.rstrip(b"= \t").lstrip(b">|: \t") for line in lines)
    junk = sample.translate(None, delete=_ALPHABET + b"\r\n")
    return len(junk) > len(sample) * _MOST_JUNK


def decode_damaged(code: bytes) -> bytes:
    """Decode ignoring invalid characters. Each run up to a padding is decoded alone, as some encoders pad each line or
    block."""
    if (b"-" in code or b"_" in code) and b"+" not in code and b"/" not in code and _is_of_urls(code):
        code = code.translate(_OF_URLS)
    found = bytearray()
    for count, block in enumerate(_BLOCK.finditer(code)):
        if count >= _MOST_BLOCKS:
            break
        found += _of_letters(block[0])
    return bytes(found)


def _is_of_urls(code: bytes) -> bool:
    """Whether "-" and "_" are letters of the alphabet for URLs, and not signs between the letters of padded base64."""
    padded = code.rstrip()
    if not padded.endswith(b"="):
        return True
    signs = code.count(b"-") + code.count(b"_")
    letters = len(padded.translate(None, delete=_JUNK.replace(b"=", b"")))
    return letters % 4 != 0 or (letters + signs) % 4 == 0


def _of_letters(octets: bytes) -> bytes:
    """Decode the base64 characters among these, adding the missing padding."""
    letters = octets.translate(None, delete=_JUNK)
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
