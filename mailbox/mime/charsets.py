"""Bytes to text as mail means it: charsets, encoded words, flowed text, the words of an HTML body. Pure."""

from __future__ import annotations

import binascii
import codecs
import io
import re
from functools import lru_cache

from mailbox.mime import transfer_encoding

# What the label says is often the small brother of what was written: the larger set decodes both.
# WHATWG Encoding, "names and labels", is the source for most of these.
_LARGER = {
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "hz",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
    "tis-620": "cp874",
}
_LABELS = {
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "x-windows-949": "cp949",
    "unicode-1-1-utf-7": "utf-7",
    "x-gbk": "gb18030",
    "x-sjis": "cp932",
    "x-euc-jp": "euc_jp",
    "cp-850": "cp850",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-6-i": "iso8859-6",
    "unicode": "utf-16",
    "utf-8mb4": "utf-8",
    "windows-874": "cp874",
    "default": "utf-8",
    "unknown-8bit": "utf-8",
    "x-unknown": "utf-8",
    "8bit": "utf-8",
    "_iso-2022-jp$esc": "iso2022_jp_ext",
    "cp932": "cp932",
}
# Text codecs of Python's own that no mail is written in, some of them slow or escaping: treated as unknown.
_NOT_CHARSETS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "palmos"}
_ASCII_AND_MORE = {"utf-8", "cp1252"}  # sets in which ASCII is itself
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

_SURROGATE = re.compile("[\ud800-\udfff]")  # utf-7 writes them
_TRUE_LETTER = re.compile("[^\x00-\x7f\ufffd]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL refuses NUL, SQLite lone surrogates
_CONTROLS = re.compile("[\x01-\x1f\x7f\u2028\u2029]+")
# These write letters backwards, also those behind them: no language needs them, names are forged with them.
_OVERRIDES = re.compile("[\u202d\u202e]")
_FOLD = re.compile(r"(?<![ \t])[ \t]*+(?:\r\n|\r|\n)[ \t]*+")
# The text of a word may hold spaces although RFC 2047 forbids it: Outlook and others send them.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")
_META_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.I)


def storable(text: str) -> str:
    """The text with what a database cannot hold, NUL and lone surrogates, as U+FFFD."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return _UNSTORABLE.sub("\ufffd", text)


@lru_cache(maxsize=500)
def codec_for(label: str) -> str | None:
    """The Python codec to read mail with that calls itself `label`, or None when there is no such charset."""
    name = label.strip().strip("\"'").lower().split("*")[0]
    if name in _LABELS:
        return _LABELS[name]
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    if not getattr(found, "_is_text_encoding", True) or found.name.replace("-", "_") in _NOT_CHARSETS:
        return None
    return _LARGER.get(found.name, found.name)


def decode_text(octets: bytes, label: str = "") -> tuple[str, bool]:
    """The text in `octets`, and whether its label (a charset) told the truth; an absent label is no lie.

    The label is tried first, then UTF-8, which is hardly ever right by chance, then windows-1252. What the label
    reads with few losses is read by the label: one broken character must not turn a Chinese mail to noise.
    """
    for mark, codec in _BOMS:
        if octets.startswith(mark):
            return _decoded(octets, codec, "replace") or "", True
    codec_name = codec_for(label) if label else "utf-8"
    if codec_name in _ASCII_AND_MORE and octets.isascii() and b"\x1b" not in octets:  # most mail
        return octets.decode("ascii"), True
    if codec_name == "cp1252" and not octets.isascii() and (text := _decoded(octets, "utf-8", "strict")) is not None:
        return text, False  # UTF-8 under the oldest label of all, a common lie
    if codec_name == "utf-8" and b"\x1b$" in octets[:2000]:  # ISO-2022-JP without its label is all ASCII
        codec_name = "iso2022_jp_ext"
    truthful = bool(codec_name)
    if codec_name:
        text = _decoded(octets, codec_name, "strict")
        if text is not None:
            return text, True
        truthful = not label
        lossy = _decoded(octets, codec_name, "replace")
        if lossy is not None and codec_name != "utf-8" and lossy.count("\ufffd") * 20 <= len(lossy):
            return lossy, False
    text = _decoded(octets, "utf-8", "strict")
    if text is not None:
        return text, truthful
    lossy = octets.decode("utf-8", "replace")
    if lossy.count("\ufffd") * 50 <= len(lossy) and _TRUE_LETTER.search(lossy):
        return lossy, False
    return octets.decode("cp1252", "replace"), truthful


def _decoded(octets: bytes, codec: str, errors: str) -> str | None:
    try:
        text = octets.decode(codec, errors)
    except (LookupError, UnicodeError, ValueError):
        return None
    return None if errors == "strict" and _SURROGATE.search(text) else text


def html_charset(octets: bytes) -> str:
    """The charset an HTML body states in its own head, or ""."""
    found = _META_CHARSET.search(octets[:2048])
    return found[1].decode("ascii") if found else ""


def header_text(value: str) -> str:
    """A raw header value (8-bit as surrogate escapes, as the email package keeps it) as text, folds kept."""
    if value.isascii():
        return value
    try:
        octets = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return storable(value)
    return storable(decode_text(octets)[0])


def unfold(value: str) -> str:
    """One line: RFC 5322 folds and what else is a control character become one space, NUL U+FFFD."""
    if value.isascii() and value.isprintable():
        return value.strip()
    return storable(_OVERRIDES.sub("", _CONTROLS.sub(" ", _FOLD.sub(" ", value))).strip())


def decode_words(value: str) -> str:
    """RFC 2047 encoded words decoded wherever they stand, also where the RFC forbids them, as mail clients do.

    Adjacent words of one charset are joined before decoding: senders split characters between them.
    """
    if "=?" not in value:
        return value
    value = _BETWEEN_WORDS.sub("", value)
    pieces: list[str] = []
    pending: list[bytes] = []
    charset = ""
    end = 0
    for word in _WORD.finditer(value):
        label = word[1].split("*")[0].lower()  # RFC 2231 section 5: a language after "*"
        if pending and (word.start() != end or label != charset):
            pieces.append(decode_text(b"".join(pending), charset)[0])
            pending = []
        pieces.append(value[end : word.start()])
        charset = label
        pending.append(_word_octets(word[2], word[3]))
        end = word.end()
    if pending:
        pieces.append(decode_text(b"".join(pending), charset)[0])
    pieces.append(value[end:])
    return storable("".join(pieces))


def _word_octets(encoding: str, text: str) -> bytes:
    octets = text.encode("utf-8", "surrogateescape")
    if encoding in "bB":
        return transfer_encoding.decode_base64(octets)[0]
    return binascii.a2b_qp(octets.replace(b"\n", b" "), header=True)


def normal_words(value: str) -> str:
    """Each run of encoded words written anew as one UTF-8 word: no charset is left for the next reader to miss."""
    if "=?" not in value:
        return value
    value = _BETWEEN_WORDS.sub("", value)

    def rewritten(run: re.Match[str]) -> str:
        text = _CONTROLS.sub(" ", decode_words(run[0]))
        return f"=?utf-8?B?{binascii.b2a_base64(text.encode(), newline=False).decode()}?="

    return re.sub(f"(?:{_WORD.pattern})+", rewritten, value)


def unwrap_flowed(text: str, *, delete_space: bool) -> str:
    """format=flowed text (RFC 3676) with its soft line breaks taken out, quote marks kept as ">" and a space."""
    shown = io.StringIO(newline="\n")  # a list of millions of short lines takes fifty times their room
    open_depth: int | None = None  # quote depth of the paragraph the last line may still go on
    for count, line in enumerate(io.StringIO(text, newline="\n")):
        line = line.removesuffix("\n")
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")  # space-stuffing, section 4.4
        is_signature = content == "-- "
        is_flowed = content.endswith(" ") and not is_signature
        if is_flowed and delete_space:
            content = content[:-1]
        if open_depth != depth or is_signature:
            shown.write(("\n" if count else "") + (">" * depth + " " if depth else ""))
        shown.write(content)
        open_depth = depth if is_flowed else None
    return shown.getvalue()
